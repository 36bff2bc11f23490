"""The settings of one process: the environment first, then the home's `config.toml`, then the default."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import tomllib
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sagaflow_mcp import credentials, guard, mcp_servers, own_temporal, paths, records, ways
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.paths import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_WORDS = {**dict.fromkeys(ways.OFF, False), **dict.fromkeys(("1", "true", "yes", "on"), True)}


@dataclass(frozen=True)
class Settings:
    """What a user can choose. Unknown names in `config.toml` are refused, so that a slip of the pen is noticed."""

    home: Home
    notify: bool = True
    """Whether an ending shows as a desktop notification. `SAGAFLOW_NOTIFY`, `[inbox] notify`."""
    models: Mapping[str, str] = field(default_factory=dict)
    """Model ids by tier (`HAIKU`, `SONNET`, `OPUS`), where they differ from the built-in ones. `[models]`."""
    concurrent_model_calls: int = 16
    """Model calls that a worker makes at the same time. `[models] concurrent_calls`."""
    idle_seconds: float = 900.0
    """Seconds that the engine stays up with no open run. `SAGAFLOW_IDLE_SECONDS`, `[engine] idle_seconds`."""
    api_key_helper: str = field(default="", repr=False)
    """A shell command that prints a key, for where nobody has one in the environment. `[models] api_key_helper`."""
    keep_runs_days: int = 180
    """Days that an ended run is kept once its entries were read. `[keep] runs_days`."""
    keep_history_days: int = 90
    """Days that the embedded server keeps an ended run's history, at most `keep_runs_days`. `[keep] history_days`."""
    keep_logs_days: int = 30
    """Days that logs are kept which were put aside. `[keep] logs_days`."""
    temporal: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The Temporal server of the user's own, for `connection.own`; empty where the engine brings one. `[temporal]`."""
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The environment that these settings were read from, completed by what `config.toml` says."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """The variable or the `config.toml` that a setting comes from which is not the default, by `table.name`."""

    @classmethod
    def of_user(cls, environ: Mapping[str, str], cure: str = guard.FOR_SHELL) -> Settings:
        """The settings for `environ`, which a project may have had its part in.

        Raises:
            Refusal: as `load`, or a project's settings choose what the user has not allowed; it ends with `cure`.
            Failure: as `load`.
        """
        guard.refuse(environ, cure)
        return cls.load(environ)

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Settings:
        """The settings for `environ`; its home is prepared.

        Raises:
            Refusal: the home or `config.toml` is not fit for use.
            Failure: the home cannot be created or read.
        """
        home = Home.from_environment(environ).prepare()
        config = read(home)
        inbox, models, engine = config["inbox"], config["models"], config["engine"]
        idle = environ.get("SAGAFLOW_IDLE_SECONDS")
        return cls(
            home=home,
            notify=_truth(environ.get("SAGAFLOW_NOTIFY"), default=inbox.get("notify", cls.notify)),
            models={tier.upper(): models[tier] for tier in _TIERS if tier in models},
            concurrent_model_calls=models.get("concurrent_calls", cls.concurrent_model_calls),
            idle_seconds=_seconds(idle) if idle else engine.get("idle_seconds", cls.idle_seconds),
            api_key_helper=models.get("api_key_helper", cls.api_key_helper),
            keep_runs_days=config["keep"].get("runs_days", cls.keep_runs_days),
            keep_history_days=config["keep"].get("history_days", cls.keep_history_days),
            keep_logs_days=config["keep"].get("logs_days", cls.keep_logs_days),
            temporal=config["temporal"],
            environ=_completed(environ, config),
            sources=sources(environ, config),
        )

    @property
    def history(self) -> timedelta:
        """How long the embedded server keeps what has ended: no longer than the run itself, whose payloads it needs."""
        return timedelta(days=min(self.keep_history_days, self.keep_runs_days))

    def for_engine(self) -> dict[str, str]:
        """The environment that an engine is started with, which serves the user's other projects too."""
        own = {
            "SAGAFLOW_HOME": self.home.root,
            "SAGAFLOW_IDLE_SECONDS": str(self.idle_seconds),
            own_temporal.VARIABLE: own_temporal.label(self.temporal),
            guard.CLAIMED: "",
        }
        return {**guard.for_all_projects(self.environ), **own}

    def credentials(self) -> dict[str, str]:
        """What leads to a model, by name, as `models.transport` says; empty where there is nothing.

        Raises:
            Refusal: `SAGAFLOW_TRANSPORT` is not in order.
        """
        if not _TRANSPORT.fits(self.transport):
            raise Refusal(f"{credentials.TRANSPORT} is {_shown(self.transport)}, but must be {_TRANSPORT.wanted}")
        return credentials.found_in(self.environ)

    @property
    def transport(self) -> str:
        """Which way models are asked. `SAGAFLOW_TRANSPORT`, `[models] transport`."""
        return self.environ.get(credentials.TRANSPORT) or "auto"


MOST = 10_000
"""The largest count. With more than Temporal can count to, a worker would not start."""


class _Rule(NamedTuple):
    """What a value in `config.toml` must be."""

    fits: Callable[[Any], bool]
    wanted: str
    read: Callable[[str], Any] = str
    """The value that is meant by a text; ValueError or KeyError where none is."""


def _is_path(value: Any) -> bool:
    return type(value) is str and value.startswith(("/", "~/"))


# By type, not isinstance: in Python, but not for a user, true is the number 1.
_TRUTH = _Rule(lambda value: type(value) is bool, "true or false", lambda text: _WORDS[text.lower()])
_TEXT = _Rule(lambda value: type(value) is str and value.strip() != "", "text")
_COUNT = _Rule(lambda value: type(value) is int and 1 <= value <= MOST, f"a whole number from 1 to {MOST}", int)
_SECONDS = _Rule(
    lambda value: type(value) in {int, float} and value > 0,
    "a positive number of seconds",
    lambda text: int(text) if text.isdigit() else float(text),
)
_ADDRESS = _Rule(
    lambda value: type(value) is str and re.fullmatch(r"https?://[^/\s]\S*", value) is not None,
    "an http:// or https:// address",
)
_SERVER = _Rule(
    lambda value: type(value) is str and own_temporal.ADDRESS.fullmatch(value.strip()) is not None,
    "of the form host:port, such as localhost:7233",
)
_TRANSPORT = _Rule(lambda value: value in credentials.TRANSPORTS, f"one of {', '.join(credentials.TRANSPORTS)}")
_PATH = _Rule(_is_path, "a path that begins with / or ~/")
_PATHS = _Rule(
    lambda value: type(value) is str and all(_is_path(each) for each in value.split(os.pathsep)),
    "paths that begin with / or ~/, separated by :",
)
_TABLE = _Rule(lambda value: type(value) is dict, "a table")

_MCP_SERVER = _Rule(
    lambda _: False,  # As a whole, a server can only be written in the file.
    "a table in config.toml, with a command or a url",
)

_TIERS = ("haiku", "sonnet", "opus")

_RULES: dict[str, dict[str, _Rule]] = {
    "engine": {"idle_seconds": _SECONDS},
    "inbox": dict.fromkeys(("notify", *ways.ALL), _TRUTH),
    "models": {
        **dict.fromkeys(_TIERS, _TEXT),
        "concurrent_calls": _COUNT,
        "base_url": _ADDRESS,
        "transport": _TRANSPORT,
        "api_key_helper": _TEXT,
    },
    "keep": dict.fromkeys(("runs_days", "history_days", "logs_days"), _COUNT),
    "claude": {"command": _PATH, "config_dir": _PATH},
    "projects": {"home": _PATHS, "server": _TEXT},
    "skills": {"path": _PATHS},
    "temporal": {
        **dict.fromkeys(("profile", "config_file"), _TEXT),
        "address": _SERVER,
        **dict.fromkeys(("namespace", "api_key", "api_key_env"), _TEXT),
        **dict.fromkeys(("tls", "grpc_meta"), _TABLE),
    },
    mcp_servers.TABLE: {},
}
"""The settings in `config.toml`, by table."""

VARIABLES = {
    "engine.idle_seconds": "SAGAFLOW_IDLE_SECONDS",
    "inbox.notify": "SAGAFLOW_NOTIFY",
    **{f"inbox.{way}": ways.variable(way) for way in ways.ALL},
    **{each.setting: each.variable for each in guard.CHOSEN},
}
"""The variable that goes before a setting, for those that have one."""


def names() -> list[str]:
    """Every setting, as `table.name`."""
    return [f"{table}.{name}" for table, rules in _RULES.items() for name in rules]


def rule(name: str) -> _Rule:
    """What a value of the setting `name` must be; Refusal when there is no such setting."""
    table, _, last = name.partition(".")
    if table == mcp_servers.TABLE and mcp_servers.NAME.fullmatch(last):
        return _MCP_SERVER
    if last not in _RULES.get(table, {}):
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "see: sagaflow config"
        raise Refusal(f"there is no setting {_shown(name)}; {hint}")
    return _RULES[table][last]


def parsed(name: str, text: str) -> Any:
    """The value that `text` is for the setting `name`; Refusal when it is none, or there is no such setting."""
    known = rule(name)
    value: Any = text
    with contextlib.suppress(ValueError, KeyError):
        value = known.read(text.strip())
    if not known.fits(value):
        raise Refusal(f"{name} is {_shown(value)}, but must be {known.wanted}")
    if not text.isascii() and text != text.encode(errors="replace").decode():
        raise Refusal(f"{name} is {_shown(value)}, which is not valid Unicode; give it in UTF-8")
    return value


def read(home: Home) -> dict[str, dict[str, Any]]:
    """All tables in the `config.toml` of `home`, with the settings that it has; Refusal when one is not in order."""
    try:
        text = Path(home.config).read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(unreadable(home.config, error)) from error
    return checked(toml(text, home.config), home.config)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with what `config.toml` says in place of guarded variables that are missing. Nothing is made for it.

    Raises:
        Refusal: a project's settings choose what the user has not allowed, or `config.toml` is not in order.
    """
    guard.refuse(environ)
    return _completed(environ, read(Home.from_environment(environ)))


def checked(content: Mapping[str, Any], path: str) -> dict[str, dict[str, Any]]:
    """All tables in `content`, which is that of the file `path`; Refusal when one is not in order."""
    for table, values in content.items():
        trouble = _table_trouble(table, values)
        if trouble:
            raise Refusal(f"{path!r}: {trouble}")
    return {table: content.get(table, {}) for table in _RULES}


def sources(environ: Mapping[str, str], config: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The variable, or `config.toml`, that each setting comes from which is not the default."""
    found = {f"{table}.{name}": "config.toml" for table, values in config.items() for name in values}
    return {**found, **{name: variable for name, variable in VARIABLES.items() if environ.get(variable)}}


def _completed(environ: Mapping[str, str], config: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """`environ`, with what `config` says in place of guarded variables that are missing or empty."""
    user = paths.user_folder(environ)
    found = dict(environ)
    for each in guard.CHOSEN:
        table, _, name = each.setting.partition(".")
        if name in config[table] and not environ.get(each.variable):
            found[each.variable] = os.pathsep.join(each.parts(config[table][name], "/", user))
    return found


def toml(text: str, path: str) -> dict[str, Any]:
    """The content of the file `path`, whose text is `text`; Refusal when it is no TOML."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Refusal(unreadable(path, error)) from error


def unreadable(path: str, error: Exception) -> str:
    """What a user is told of the file `path`, which `error` says is no TOML."""
    return f"{path!r} cannot be read as TOML: {error}; put it right or move it away"


def _table_trouble(table: str, values: object) -> str | None:
    """What is wrong in one table, in a sentence; None when nothing is."""
    known = _RULES.get(table)
    if known is None:
        return f"there is no setting {table!r}; the tables are {', '.join(_RULES)}"
    if not isinstance(values, dict):
        return f"{table!r} must be a table, [{table}]"  # What it is instead may be a key.
    if table == mcp_servers.TABLE:
        return mcp_servers.config_trouble(values)
    for name, value in values.items():
        if name not in known:
            return f"there is no setting '{table}.{name}'; [{table}] has {', '.join(known)}"
        if not known[name].fits(value):
            return f"{table}.{name} is {_shown(value)}, but must be {known[name].wanted}"
    return own_temporal.trouble(values) if table == "temporal" else None


def _shown(value: object) -> str:
    if isinstance(value, list | dict):
        return "a table" if isinstance(value, dict) else "a list"  # There may be a key in it.
    text = repr(value)
    # An address may carry a password, and so may a slip in one.
    return "what is not shown here, as it may hold a password" if "@" in text else records.one_line(text, 80)


def without_ours(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without Sagaflow's own variables and model credentials."""
    return {name: value for name, value in environ.items() if not name.startswith(("SAGAFLOW_", *credentials.NAMES))}


def _truth(text: str | None, *, default: bool) -> bool:
    return default if not text else text.lower() not in ways.OFF


def _seconds(text: str) -> float:
    """The seconds in the environment's `text`; Refusal when it is no positive number."""
    with contextlib.suppress(ValueError):
        if _SECONDS.fits(float(text)):
            return float(text)
    raise Refusal(f"SAGAFLOW_IDLE_SECONDS is {_shown(text)}, but must be {_SECONDS.wanted}")
