"""Model credentials, in memory only: those of each open run and the latest ones given.

The engine and the worker each hold them, so that they survive the death of either.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import paths

if TYPE_CHECKING:
    from collections.abc import Mapping

GRACE_SECONDS = 600.0
"""How long a run's credentials are kept without its open-run marker, which is written at about the same time."""


ENGINE_SECONDS = 3.0
"""How long a process that has just started waits to hear which credentials its engine holds."""

NAMES = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL")
"""The environment variables that each launch hands to the worker; it has all others from when it was started."""


CLAUDE = "SAGAFLOW_CLAUDE"
"""The path of the `claude` command. A user may set it; otherwise it is looked for."""

TRANSPORT = "SAGAFLOW_TRANSPORT"
"""Which way models are asked: one of `TRANSPORTS`."""

TRANSPORTS = ("auto", "api", "claude")
"""By what there is, a key before a login; over the Messages API only; with the `claude` command, even with a key."""

CLAUDE_PLACES = ("~/.local/bin/claude", "~/.claude/local/claude")
"""Where Claude Code's installers put the command, which need not be on the `PATH`."""


def found_in(environ: Mapping[str, str]) -> dict[str, str]:
    """The access to a model in `environ`, by name: a key or a token, else the `claude` command; empty for neither.

    With `SAGAFLOW_TRANSPORT` it is only the one or only the other.
    """
    chosen = environ.get(TRANSPORT)
    found = {} if chosen == "claude" else keys_in(environ)
    return found if found or chosen == "api" else claude_in(environ)


def keys_in(environ: Mapping[str, str]) -> dict[str, str]:
    """The model credentials in `environ`, by name; empty when there is neither a key nor a token."""
    found = {name: environ[name] for name in NAMES if environ.get(name)}
    return found if found.keys() - {"ANTHROPIC_BASE_URL"} else {}


def claude_in(environ: Mapping[str, str]) -> dict[str, str]:
    """What leads to the `claude` command of the user of `environ` and to its login; empty when there is none."""
    chosen = environ.get(CLAUDE)
    folders = environ.get("PATH", os.defpath).split(os.pathsep)
    home = paths.user_folder(environ)
    places = [os.path.join(folder, "claude") for folder in folders] + [home + place[1:] for place in CLAUDE_PLACES]
    for path in [chosen] if chosen else places:
        # A relative path would be another file for the worker, whose folder is another one.
        if os.path.isabs(path) and os.path.isfile(path) and os.access(path, os.X_OK):
            passed_on = ("ANTHROPIC_BASE_URL", "CLAUDE_CONFIG_DIR", "HOME")
            return {CLAUDE: path, **{name: environ[name] for name in passed_on if environ.get(name)}}
    return {}


def shown_address(address: str) -> str:
    """`address` without a password or a token that it may carry."""
    scheme, mark, rest = address.partition("://")
    rest, query, _ = rest.partition("?")
    _, at, host = rest.rpartition("@")
    return f"{scheme}{mark}{'…@' if at else ''}{host}{'?…' if query else ''}"


class Credentials:
    """Environment-like values by run id. Not for two threads at once.

    Args:
        at_start: those of the process's own environment, for runs and launches that brought none. They are older than
            any others, and every process has its own.
    """

    def __init__(self, at_start: dict[str, str] | None = None) -> None:
        self._at_start = at_start or {}
        self._began = time.monotonic()
        self._is_merged = False
        self._latest: dict[str, str] = {}
        self._runs: dict[str, tuple[float, dict[str, str]]] = {}

    def __repr__(self) -> str:
        return f"<Credentials of {len(self._runs)} runs>"

    def remember(self, run_id: str, values: dict[str, str]) -> None:
        """Keep `values` for the run `run_id` (empty: for no run in particular) and as the latest ones."""
        if not values:
            return
        self._latest = dict(values)
        if run_id:
            self._runs[run_id] = (time.monotonic(), dict(values))

    def of(self, run_id: str) -> dict[str, str]:
        """The values given for the run `run_id`, else the latest ones, else those from the start."""
        return dict(self._runs[run_id][1] if run_id in self._runs else self._latest or self._at_start)

    def is_settled(self, run_id: str) -> bool:
        """Whether `of` knows what there is to know of the run `run_id`.

        A worker that takes the place of a killed one takes work before it has heard what its engine holds: what it has
        from the start may be another user's choice, a key in place of a login.
        """
        is_known = run_id in self._runs or bool(self._latest)
        return is_known or self._is_merged or time.monotonic() - self._began > ENGINE_SECONDS

    def export(self) -> dict[str, Any]:
        """All values that were given, as JSON for `merge`."""
        return {"latest": self._latest, "runs": {run_id: values for run_id, (_, values) in self._runs.items()}}

    def merge(self, exported: object) -> None:
        """Add what `exported` has and is not known here. ValueError if it is not from `export`."""
        if not isinstance(exported, dict) or not isinstance(exported.get("runs", {}), dict):
            raise ValueError("the credentials are not in the form of an export")  # noqa: TRY004 - it is data
        self._is_merged = True
        self._latest = self._latest or checked(exported.get("latest", {}))
        for run_id, values in exported.get("runs", {}).items():
            self._runs.setdefault(run_id, (time.monotonic(), checked(values)))

    def prune(self, open_runs: set[str]) -> None:
        """Forget the values of runs that are not in `open_runs`, unless they were given a moment ago."""
        limit = time.monotonic() - GRACE_SECONDS
        self._runs = {key: kept for key, kept in self._runs.items() if key in open_runs or kept[0] > limit}


def checked(values: object) -> dict[str, str]:
    """`values` as names and values. ValueError if they are anything else; the text never shows a value."""
    if not isinstance(values, dict) or not all(isinstance(part, str) for pair in values.items() for part in pair):
        raise ValueError("credentials must be an object of strings")
    return dict(values)
