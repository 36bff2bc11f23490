"""A command in a real terminal, as far as a kernel can give one."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Self

import pyte

from tests import waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

BEGIN = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
for name in ("SIGINT", "SIGQUIT", "SIGTSTP", "SIGHUP"):
    signal.signal(getattr(signal, name), signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Makes standard input the terminal that controls the command, which takes its signals as in a shell of a user's."""

INTERRUPT, QUIT, SUSPEND = "\x03", "\x1c", "\x1a"
"""What ^C, ^\\ and ^Z type."""

ROWS = 48

PRESS_AGAIN_SECONDS = 2.0
"""How long a key may take to have an effect."""

LOOKS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """`command` in a terminal of its own; leaving the context closes it, as closing a window does.

    Args:
        command: what runs in it.
        environ: its environment.
        cwd: where it runs.
        columns: how wide the terminal is.
        seconds: how long anything that is waited for may take.
    """

    def __init__(
        self,
        command: list[str],
        environ: Mapping[str, str],
        cwd: Path,
        *,
        columns: int = 80,
        seconds: float = waiting.LIMIT_SECONDS,
    ) -> None:
        self._seconds = seconds
        self._screen = pyte.Screen(columns, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", BEGIN, *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={"TERM": "xterm-256color", **environ},
            cwd=cwd,
            start_new_session=True,
        )
        os.close(slave)
        self.output = ""
        """All that was written so far, with the line ends of a terminal."""
        self._told = 0
        self._drawn = (0, "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.process.wait(timeout=self._seconds)

    def close(self) -> None:
        """Take the terminal away; the command is told with SIGHUP."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._master, text.encode())

    def until(self, text: str) -> str:
        """What was written since the end of the last call's answer, up to and with `text`."""
        deadline = time.monotonic() + self._seconds
        while text not in self.output[self._told :]:
            assert self._read(deadline), f"{text!r} did not come:\n{self.output}"
        before, self._told = self._told, self.output.index(text, self._told) + len(text)
        return self.output[before : self._told]

    @property
    def screen(self) -> str:
        """What the terminal shows now."""
        # Drawn once for each change: it takes ten milliseconds, and is looked at again and again.
        if self._drawn[0] != len(self.output):
            self._drawn = len(self.output), "\n".join(self._screen.display)
        return self._drawn[1]

    def press(self, key: str, shown: str) -> None:
        """Press `key` until the screen shows `shown`: what is drawn may not be listening yet."""
        self._press(key, lambda: shown in self.screen)

    def press_away(self, key: str, gone: str) -> None:
        """Press `key` until the screen does not show `gone` any more."""
        self._press(key, lambda: gone not in self.screen)

    def wait_for(self, shown: str) -> None:
        """Return once the screen shows `shown`."""
        self.press("", shown)

    def ended(self) -> int:
        """The exit status, once the command has ended; all that it wrote is in `output`."""
        deadline = time.monotonic() + self._seconds
        while self._read(deadline):
            pass
        return self.process.wait(timeout=self._seconds)

    @property
    def rows(self) -> list[str]:
        """The lines written, without looks; of a line that was written over, what came last."""
        return [LOOKS.sub("", row).rpartition("\r")[2] for row in self.output.replace("\r\n", "\n").split("\n")]

    def _press(self, key: str, is_done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + self._seconds
        while not is_done():
            self.type(key)
            again = time.monotonic() + PRESS_AGAIN_SECONDS
            while not is_done() and time.monotonic() < again:
                assert self._read(deadline, again), self.screen

    def _read(self, deadline: float, pause: float | None = None) -> bool:
        """Whether more was written before `deadline`, or may be after the `pause`; not when the command has ended."""
        assert time.monotonic() < deadline, f"not in time:\n{self.output}"
        ready, _, _ = select.select([self._master], [], [], max(0, (pause or deadline) - time.monotonic()))
        try:
            more = os.read(self._master, 65_536) if ready else b""
        except OSError:  # EIO: nobody has the other end any more.
            return False
        self.output += more.decode("utf-8", "replace")
        self._stream.feed(more)
        return bool(more) or not ready
