"""A program that runs a command and ends whatever the command has started, at the latest when we are gone.

    python -I -S leash.py [--holder=DESCRIPTOR] COMMAND [ARGUMENT …]

Who starts it holds the other end of its standard input, or of the pipe `DESCRIPTOR` where the command reads the
standard input itself: when that ends, as it does however its holder died, everything is killed. A process group alone
would not do: a daemon leaves it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

HOLDER = "--holder="
"""Begins the argument that names the pipe."""

SECONDS = 5.0
"""How long processes are killed for: each can have started another one meanwhile."""

LOOK_SECONDS = 0.005
"""The pause between two looks at what is left."""

PR_SET_CHILD_SUBREAPER = 36
"""Of Linux's `prctl`: orphans among the descendants become our children, so that a daemon is still found (prctl(2))."""


class Process(NamedTuple):
    """What is known of a process."""

    pid: int
    parent: int
    group: int


def main(arguments: list[str]) -> int:
    """The exit status of the command, negative for a signal; nothing it started is left. OSError if there is none."""
    has_pipe = arguments[0].startswith(HOLDER)
    holder, command = (int(arguments[0][len(HOLDER) :]), arguments[1:]) if has_pipe else (0, arguments)
    with contextlib.suppress(PermissionError):  # Where it leads a group already.
        os.setsid()  # So that its group has nobody else in it.
    _adopt_orphans()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        # `kill 0` in the command is not meant for us. Not SIG_IGN: the command would inherit that.
        signal.signal(number, lambda *_: None)
    child = subprocess.Popen(command, stdin=None if holder else subprocess.DEVNULL)
    ending = threading.Thread(target=_end_with_holder, args=(holder,), daemon=True)
    ending.start()
    try:
        status = _status(child.pid)
    except ChildProcessError:  # The thread has it already, and ends us.
        ending.join()
        raise
    child.returncode = os.waitstatus_to_exitcode(status)
    end_descendants()
    return child.returncode


def _status(child: int) -> int:
    """The wait status of `child`, once it has ended; orphans that end meanwhile leave nothing behind either."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return status


def end_descendants() -> None:
    """Kill every process below this one. Never raises; one that the kernel holds on to is given up in the end."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        found = _below(os.getpid(), _processes())
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not found:
            return
        time.sleep(LOOK_SECONDS)


def _end_with_holder(holder: int) -> None:
    while os.read(holder, 4096):
        pass
    end_descendants()
    os._exit(128 + signal.SIGKILL)


def _adopt_orphans() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _below(pid: int, processes: list[Process]) -> list[int]:
    """Those that descend from `pid`, and the others of its group, which are what it left where nobody adopts."""
    found, size = {pid}, 0
    while len(found) > size:
        size = len(found)
        found |= {each.pid for each in processes if each.parent in found or each.group == os.getpgrp()}
    return sorted(found - {pid})


def _processes() -> list[Process]:
    """All of the machine's."""
    if not Path("/proc/self").is_dir():
        command = ["/bin/ps", "-A", "-o", "pid=,ppid=,pgid="]
        listed = subprocess.run(command, capture_output=True, text=True, check=False)
        return [Process(*map(int, line.split())) for line in listed.stdout.splitlines()]
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # After the name in parentheses, which may hold any character: state, parent, group (proc(5)).
            text = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
            _, parent, group = text.split()[:3]
            found.append(Process(int(folder.name), int(parent), int(group)))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) % 256)
