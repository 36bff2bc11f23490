"""The settings of one process: the environment first, then the home's `config.toml`, then the default."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import credentials
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.paths import Home

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        config = _Config.read(Path(home.config))
        models = config.table("models")
        idle = environ.get("SAGAFLOW_IDLE_SECONDS") or config.take("engine", "idle_seconds", 900.0, (int, float))
        calls = config.take("models", "concurrent_calls", 16, (int,))
        settings = cls(
            home=home,
            notify=_truth(environ.get("SAGAFLOW_NOTIFY"), default=config.take("inbox", "notify", True, (bool,))),
            models={tier.upper(): str(models[tier]) for tier in ("haiku", "sonnet", "opus") if tier in models},
            concurrent_model_calls=max(1, calls),
            idle_seconds=_seconds(idle),
            environ=dict(environ),
        )
        config.refuse_unknown({"inbox": {"notify"}, "engine": {"idle_seconds"}, "models": _MODEL_NAMES})
        return settings

    def for_engine(self) -> dict[str, str]:
        """The environment that an engine is started with."""
        return {**self.environ, "SAGAFLOW_HOME": self.home.root, "SAGAFLOW_IDLE_SECONDS": f"{self.idle_seconds:g}"}

    def credentials(self) -> dict[str, str]:
        """The model credentials in the environment, by name; empty when there is neither a key nor a token."""
        return credentials.found_in(self.environ)


_MODEL_NAMES = {"haiku", "sonnet", "opus", "concurrent_calls"}


@dataclass(frozen=True)
class _Config:
    path: Path
    content: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> _Config:
        try:
            return cls(path, tomllib.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return cls(path, {})
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise Refusal(f"{str(path)!r} cannot be read as TOML: {error}; put it right or move it away") from error

    def table(self, name: str) -> dict[str, Any]:
        found = self.content.get(name, {})
        if not isinstance(found, dict):
            raise Refusal(f"{str(self.path)!r}: {name!r} must be a table, [{name}], not {found!r}")
        return found

    def take(self, table: str, name: str, default: Any, kinds: tuple[type, ...]) -> Any:
        value = self.table(table).get(name, default)
        if type(value) not in kinds and value is not default:
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise Refusal(f"{str(self.path)!r}: {table}.{name} is {value!r}, but must be of type {wanted}")
        return value

    def refuse_unknown(self, known: Mapping[str, set[str]]) -> None:
        for table in self.content:
            unknown = set(self.table(table)) - known.get(table, set()) if table in known else {"*"}
            if unknown:
                name = table if unknown == {"*"} else f"{table}.{min(unknown)}"
                raise Refusal(
                    f"{str(self.path)!r}: there is no setting {name!r}; the tables are {', '.join(sorted(known))}"
                )


def without_ours(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without Sagaflow's own variables and model credentials."""
    return {name: value for name, value in environ.items() if not name.startswith(("SAGAFLOW_", *credentials.NAMES))}


def _truth(text: str | None, *, default: bool) -> bool:
    return default if not text else text.lower() not in _OFF


def _seconds(value: float | str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not seconds > 0:
        raise Refusal(
            f"SAGAFLOW_IDLE_SECONDS, or engine.idle_seconds, is {value!r}, but must be a positive number of seconds"
        )
    return seconds
