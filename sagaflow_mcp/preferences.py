"""Every setting as a user sees it: its value, and where that comes from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import credentials, guard, mcp_servers, models, settings, ways
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.paths import Home
from sagaflow_mcp.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULTS: Mapping[str, Any] = {
    "engine.idle_seconds": Settings.idle_seconds,
    "inbox.notify": Settings.notify,
    **{f"inbox.{way}": True for way in ways.ALL},
    "keep.runs_days": Settings.keep_runs_days,
    "keep.history_days": Settings.keep_history_days,
    "keep.logs_days": Settings.keep_logs_days,
    "models.concurrent_calls": Settings.concurrent_model_calls,
    **{f"models.{tier.lower()}": model for tier, model in models.DEFAULT_MODELS.items()},
    **{each.setting: each.default for each in guard.CHOSEN if each.default},
}
"""The defaults of those settings that have one."""

AT_ONCE = frozenset(
    {"models.api_key_helper", *(each.setting for each in guard.GUARDED), *(f"inbox.{way}" for way in ways.ALL)}
)
"""Settings that each launch and each session reads anew; the engine has all others from its start."""


def is_at_once(name: str) -> bool:
    """Whether a change of the setting counts at once: whoever needs it reads it anew."""
    return name in AT_ONCE or name.startswith(f"{mcp_servers.TABLE}.")


SECRET = frozenset({"api_key"})
"""What a setting is called whose value is never shown."""


@dataclass(frozen=True)
class Preference:
    """One setting, as it is shown."""

    name: str
    value: Any
    """None where nobody has chosen one and there is no default."""
    source: str
    """`environment`, `project` (which is not allowed), `config` or `default`."""
    variable: str
    """The variable that goes before `config.toml`; empty where none does."""
    default: Any


def home_of(environ: Mapping[str, str], name: str) -> Home:
    """The home whose `config.toml` has the setting `name`; Refusal when a project says which one that is."""
    if name.startswith(guard.PROJECTS):
        # Never one that a project could have named: what is asked here is whether it may.
        guard.refuse(environ, only={"HOME"})
        return Home.from_environment({"HOME": environ.get("HOME", "")})
    guard.refuse(environ, only=guard.OF_HOME)
    return Home.from_environment(environ)


def listing(environ: Mapping[str, str]) -> list[Preference]:
    """Every setting.

    Raises:
        Refusal: a project says which home is used, or a `config.toml` is not in order.
    """
    own, projects = (settings.read(home_of(environ, name)) for name in ("", guard.PROJECTS))
    refused = {each.setting for each in guard.foreign(environ)}
    found = [
        _preference(name, environ, projects if name.startswith(guard.PROJECTS) else own) for name in settings.names()
    ]
    shown = [replace(each, source="project") if each.name in refused else each for each in found]
    return [*shown, *(_of_server(name, members) for name, members in own[mcp_servers.TABLE].items())]


def _of_server(name: str, members: Mapping[str, Any]) -> Preference:
    """An MCP server of the user's, as one setting: what it is, without what may be a secret."""
    return Preference(f"{mcp_servers.TABLE}.{name}", mcp_servers.shown(members), "config", "", None)


def _preference(name: str, environ: Mapping[str, str], config: Mapping[str, Mapping[str, Any]]) -> Preference:
    table, _, last = name.partition(".")
    variable = settings.VARIABLES.get(name, "")
    default = DEFAULTS.get(name)
    if environ.get(variable):
        return Preference(name, _shown(name, _read(name, environ[variable])), "environment", variable, default)
    if last in config[table]:
        return Preference(name, _shown(name, config[table][last]), "config", variable, default)
    return Preference(name, default, "default", variable, default)


def _read(name: str, text: str) -> Any:
    try:
        return settings.parsed(name, text)
    except Refusal:
        return text  # Told by whoever uses it.


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, dict) or name.rpartition(".")[2] in SECRET:
        return "…"
    return credentials.shown_address(value) if isinstance(value, str) else value
