"""The settings of one process: the environment first, then the home's `config.toml`, then the default."""

from __future__ import annotations

import contextlib
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sagaflow_mcp import credentials, own_temporal, records
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.paths import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_OFF = frozenset({"0", "false", "no", "off"})


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
    temporal: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The Temporal server of the user's own, for `connection.own`; empty where the engine brings one. `[temporal]`."""
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The environment that these settings were read from."""

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> Settings:
        """The settings for `environ`; its home is prepared.

        Raises:
            Refusal: the home or `config.toml` is not fit for use.
            Failure: the home cannot be created or read.
        """
        home = Home.from_environment(environ).prepare()
        config = _config(Path(home.config))
        inbox, models, engine = config["inbox"], config["models"], config["engine"]
        idle = environ.get("SAGAFLOW_IDLE_SECONDS")
        return cls(
            home=home,
            notify=_truth(environ.get("SAGAFLOW_NOTIFY"), default=inbox.get("notify", cls.notify)),
            models={tier.upper(): models[tier] for tier in _TIERS if tier in models},
            concurrent_model_calls=models.get("concurrent_calls", cls.concurrent_model_calls),
            idle_seconds=_seconds(idle) if idle else engine.get("idle_seconds", cls.idle_seconds),
            temporal=config["temporal"],
            environ=dict(environ),
        )

    def for_engine(self) -> dict[str, str]:
        """The environment that an engine is started with."""
        return {
            **self.environ,
            "SAGAFLOW_HOME": self.home.root,
            "SAGAFLOW_IDLE_SECONDS": str(self.idle_seconds),
            own_temporal.VARIABLE: own_temporal.label(self.temporal),
        }

    def credentials(self) -> dict[str, str]:
        """The model credentials in the environment, by name; empty when there is neither a key nor a token."""
        return credentials.found_in(self.environ)


class _Rule(NamedTuple):
    """What a value in `config.toml` must be."""

    fits: Callable[[Any], bool]
    wanted: str


# By type, not isinstance: in Python, but not for a user, true is the number 1.
_TRUTH = _Rule(lambda value: type(value) is bool, "true or false")
_TEXT = _Rule(lambda value: type(value) is str and value.strip() != "", "text")
_COUNT = _Rule(lambda value: type(value) is int and value >= 1, "a whole number from 1 up")
_SECONDS = _Rule(lambda value: type(value) in {int, float} and value > 0, "a positive number of seconds")

_TABLE = _Rule(lambda value: type(value) is dict, "a table")

_TIERS = ("haiku", "sonnet", "opus")

_RULES: dict[str, dict[str, _Rule]] = {
    "engine": {"idle_seconds": _SECONDS},
    "inbox": {"notify": _TRUTH},
    "models": {**dict.fromkeys(_TIERS, _TEXT), "concurrent_calls": _COUNT},
    "temporal": {
        **dict.fromkeys(("profile", "config_file", "address", "namespace", "api_key", "api_key_env"), _TEXT),
        **dict.fromkeys(("tls", "grpc_meta"), _TABLE),
    },
}
"""The settings in `config.toml`, by table."""


def _config(path: Path) -> dict[str, dict[str, Any]]:
    """All tables in the file `path`, with the settings that it has, each in order; Refusal when one is not."""
    content = _toml(path)
    for table, values in content.items():
        trouble = _table_trouble(table, values)
        if trouble:
            raise Refusal(f"{str(path)!r}: {trouble}")
    return {table: content.get(table, {}) for table in _RULES}


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Refusal(f"{str(path)!r} cannot be read as TOML: {error}; put it right or move it away") from error


def _table_trouble(table: str, values: object) -> str | None:
    """What is wrong in one table, in a sentence; None when nothing is."""
    known = _RULES.get(table)
    if known is None:
        return f"there is no setting {table!r}; the tables are {', '.join(_RULES)}"
    if not isinstance(values, dict):
        return f"{table!r} must be a table, [{table}], not {_shown(values)}"
    for name, value in values.items():
        if name not in known:
            return f"there is no setting '{table}.{name}'; [{table}] has {', '.join(known)}"
        if not known[name].fits(value):
            return f"{table}.{name} is {_shown(value)}, but must be {known[name].wanted}"
    return own_temporal.trouble(values) if table == "temporal" else None


def _shown(value: object) -> str:
    return records.one_line(repr(value), 80)


def without_ours(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without Sagaflow's own variables and model credentials."""
    return {name: value for name, value in environ.items() if not name.startswith(("SAGAFLOW_", *credentials.NAMES))}


def _truth(text: str | None, *, default: bool) -> bool:
    return default if not text else text.lower() not in _OFF


def _seconds(text: str) -> float:
    """The seconds in the environment's `text`; Refusal when it is no positive number."""
    with contextlib.suppress(ValueError):
        if _SECONDS.fits(float(text)):
            return float(text)
    raise Refusal(f"SAGAFLOW_IDLE_SECONDS is {_shown(text)}, but must be {_SECONDS.wanted}")
