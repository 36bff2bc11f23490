"""The processes of this machine, as the system lists them."""

from __future__ import annotations

import os
import signal
import subprocess

from tests.waiting import eventually


def naming(text: str) -> list[str]:
    """Those that have `text` in their command line, each as its pid and that line."""
    listing = subprocess.run(["ps", "-axww", "-o", "pid=,args="], capture_output=True, encoding="utf-8", check=True)
    return [line.strip() for line in listing.stdout.splitlines() if text in line]


def is_gone(pid: int) -> bool:
    """Whether no process has that id, or only its parent has not noticed its death."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, encoding="utf-8", check=False)
    state = listed.stdout.strip()
    # With an l, other threads of it are still dying, and hold its files open.
    return not state or (state.startswith("Z") and "l" not in state)


def kill(pid: int) -> None:
    """End a process with SIGKILL; it is gone afterwards."""
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: is_gone(pid), f"the end of process {pid}")
