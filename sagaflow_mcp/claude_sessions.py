"""Which session each Claude Code process is in, as our hooks have noted it: only they are told.

A note stays when its process has ended: a session that is resumed in another process is still the one that launched
its runs.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, NamedTuple

from sagaflow_mcp import claude_process, inbox, paths

if TYPE_CHECKING:
    from sagaflow_mcp.claude_process import ClaudeProcess
    from sagaflow_mcp.paths import Home

SIZE_LIMIT = 16 * 1024


class Note(NamedTuple):
    """What is known of a process."""

    session_id: str
    cwd: str


def write(home: Home, process: ClaudeProcess, note: Note) -> None:
    """Note the session that `process` is in now; nothing is written where that is known.

    Raises:
        ValueError: it is no session's id.
        OSError: it cannot be written.
    """
    inbox.check_session(note.session_id)
    if find(home, process.key) != note:
        os.makedirs(home.sessions, mode=0o700, exist_ok=True)
        # Not escaped beyond need: hooks/run.sh looks for the id in it.
        # A session's start waits for this, and what outlives the power is not the process.
        paths.write_atomically(_path(home, process.key), json.dumps(note._asdict()) + "\n", durable=False)


def enter(home: Home, pid: int, note: Note) -> set[str]:
    """The `keys` of the session that the process `pid` is in from now on, which is noted; none without a process.

    Never raises: a full disk must not keep anything from being told.
    """
    process = claude_process.of(pid)
    if process is None:
        return set()
    with contextlib.suppress(OSError, ValueError):
        write(home, process, note)
    return keys(home, process, note.session_id)


def find(home: Home, key: str) -> Note | None:
    """The note on the process of that key; None where there is none that can be read."""
    try:
        with open(_path(home, key), encoding="utf-8") as file:
            found = json.loads(file.read(SIZE_LIMIT))
        return Note(str(found["session_id"]), str(found["cwd"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def keys(home: Home, process: ClaudeProcess, session_id: str) -> set[str]:
    """The key of `process`, and those of ended ones that were in the session: what they launched is its own."""
    found = {process.key}
    for key in noted(home):
        other = claude_process.parse(key)
        note = find(home, key) if other and not other.lives() else None
        if note and note.session_id == session_id:
            found.add(key)
    return found


def noted(home: Home) -> list[str]:
    """The keys of the processes on which there are notes."""
    try:
        return [name for name in os.listdir(home.sessions) if claude_process.parse(name)]
    except OSError:
        return []


def _path(home: Home, key: str) -> str:
    return os.path.join(home.sessions, key)
