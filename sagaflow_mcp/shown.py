"""What a session was shown of a run or of the inbox by a tool counts as told: no hook and no message repeats it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import artifacts, claude_process, claude_sessions, inbox, pauses

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.records import Entry
    from sagaflow_mcp.runs import Run


def note(home: Home, run: Run, environ: Mapping[str, str]) -> None:
    """Have the ending or the questions of `run` claimed for the session that a server with `environ` works for.

    Never raises: at worst it is told twice.
    """
    with contextlib.suppress(OSError, ValueError):
        _claim(home, _entry_ids(home, run), environ)


def note_entries(home: Home, entries: Iterable[Entry], environ: Mapping[str, str]) -> None:
    """Have `entries` claimed in the same way. Never raises."""
    with contextlib.suppress(OSError, ValueError):
        _claim(home, [entry.entry_id for entry in entries], environ)


def _claim(home: Home, entry_ids: Iterable[str], environ: Mapping[str, str]) -> None:
    known = claude_sessions.find(home, claude_process.of_server(environ))
    session_id = known.session_id if known else environ.get("CLAUDE_CODE_SESSION_ID", "")
    for entry_id in entry_ids if session_id else ():
        inbox.claim(home, session_id, entry_id)


def _entry_ids(home: Home, run: Run) -> list[str]:
    """The inbox entries that tell the same, which need not be there yet."""
    if run.is_open:
        since = pauses.since(Path(run.run_dir))
        paused = [pauses.entry_id(run.run_id, since)] if since else []
        return [*paused, *(f"{run.run_id}~{asked.id}" for asked in run.questions)]
    ending = artifacts.read_json(Path(home.run(run.run_id)) / "ending.json") or {}
    return [str(ending["entry_id"])] if "entry_id" in ending else []
