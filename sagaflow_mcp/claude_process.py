"""The Claude Code process that a hook, launcher or MCP server works for: what all of these know for certain.

The id of a session is no such thing: `/clear` changes it, and processes that live long are not told.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from sagaflow_mcp import paths

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "SAGAFLOW_CLAUDE_PROCESS"
"""By which the launcher tells the real server, whose parent it is itself, the key of the process."""

PS_SECONDS = 5
_KEYS = re.compile(r"([1-9][0-9]{0,9})-([A-Za-z0-9]{1,40})")
_START = 19
"""Where a process's start, in clock ticks after boot, stands after its name and the bracket in /proc/PID/stat."""


class ClaudeProcess(NamedTuple):
    """One process, also once its pid has been given to another."""

    pid: int
    started: str
    """When it started, as the system says it, in letters and digits."""

    @property
    def key(self) -> str:
        """Its name in records and files."""
        return f"{self.pid}-{self.started}"

    def lives(self) -> bool:
        """Whether it lives; without /proc (macOS) also true of another process that has got its pid."""
        if not _has_proc():
            return paths.lives(self.pid)
        found = _stat(self.pid)
        return bool(found) and found[0] not in {"Z", "X"} and found[_START] == self.started


def of(pid: int) -> ClaudeProcess | None:
    """The process `pid`; None where there is none. Never raises."""
    started = _started(pid)
    return ClaudeProcess(pid, started) if started else None


def parse(key: str) -> ClaudeProcess | None:
    """The process of that key; None where it is no key."""
    found = _KEYS.fullmatch(key)
    return ClaudeProcess(int(found[1]), found[2]) if found else None


def of_server(environ: Mapping[str, str]) -> str:
    """The key of the process that a server with `environ` works for: what the launcher says, else its own parent's."""
    known = parse(environ.get(VARIABLE, "")) or of(os.getppid())
    return known.key if known else ""


def _started(pid: int) -> str:
    if _has_proc():
        found = _stat(pid)
        return found[_START] if found else ""
    import subprocess  # noqa: PLC0415 - a hook need not pay for it where there is /proc

    try:
        shown = subprocess.run(
            ["/bin/ps", "-o", "lstart=", "-p", str(pid)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PS_SECONDS,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return "".join([c for c in shown.decode("ascii", "replace") if c.isalnum() and c.isascii()])


def _has_proc() -> bool:
    return os.path.exists("/proc/self/stat")


def _stat(pid: int) -> list[str]:
    """What Linux says of a process, from its state on; empty where there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            # A process chooses its own name, which may hold spaces and brackets.
            found = file.read().rpartition(")")[2].split()
    except OSError:
        return []
    return found if len(found) > _START else []
