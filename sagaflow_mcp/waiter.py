"""The hook that waits beside an idle session in a terminal, and wakes it with what its runs have come to.

Claude Code takes the words of a hook that ends with status 2, and starts a turn with them, or adds them to the one that
goes on. It starts the next hook with the next prompt, which those words can be, and at the end of the turn, since older
versions (2.1.197) take words that come in a turn for no prompt.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from sagaflow_mcp import claude_process, claude_sessions, guard, hook, processes, ways
from sagaflow_mcp.claude_sessions import Note
from sagaflow_mcp.paths import Home
from sagaflow_mcp.wakeups import Wakeups

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagaflow_mcp.claude_process import ClaudeProcess

LOOK_SECONDS = 0.5
"""The pause between two looks."""

TURN_SECONDS = 1.0
"""How long the lock is tried for: one that has it either stays, or is just about to leave."""

WORDS = 3
"""The descriptor for the words; hooks/run.sh has standard error go nowhere, so that nothing else can get there."""

NOTHING, WAKE = 0, 2
"""The exit statuses that a hook of this kind can have."""


def main(pid: int) -> int:
    """Wait for what the session is to be woken with; the exit status. Never raises.

    Args:
        pid: the process that runs this hook, Claude Code.
    """
    try:
        process = claude_process.of(pid)
        if process is None:
            return NOTHING
        return _main(Home.from_environment(os.environ), process, os.environ)
    except Exception:  # noqa: BLE001 - Claude Code would show any failure to the user
        return NOTHING


def _main(home: Home, process: ClaudeProcess, environ: Mapping[str, str]) -> int:
    session_id, cwd = hook.place_of(hook.read_event(), environ)
    if guard.foreign(environ, guard.OF_HOME) or not hook.is_ours(home.root):
        return NOTHING
    claude_sessions.enter(home, process.pid, Note(session_id, cwd))
    # Without a terminal Claude Code would not end while this waits.
    if environ.get("CLAUDE_CODE_ENTRYPOINT") != ways.TERMINAL or not ways.is_on(ways.WAKE, home, environ):
        return NOTHING
    wakeups = Wakeups(home, process, session_id)
    # Held until this process ends: one waits, whichever hook has started it.
    if processes.acquire(wakeups.lock, TURN_SECONDS) is None:
        return NOTHING
    return _wait(wakeups, process)


def _wait(wakeups: Wakeups, process: ClaudeProcess) -> int:
    parent = os.getppid()
    # Also by the parent: older versions of Claude Code leave its hooks behind, and so does kill -9.
    while process.lives() and os.getppid() == parent:
        if not wakeups.are_expected():
            return NOTHING
        if wakeups.are_due(time.time()):
            lines = wakeups.take(time.time())
            if lines:
                os.write(WORDS, ("\n".join(lines) + "\n").encode())
                return WAKE
        time.sleep(LOOK_SECONDS)
    return NOTHING
