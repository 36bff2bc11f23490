"""The real MCP server, as a child of the launcher."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from sagaflow_mcp import processes, records, streams

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EOF_SECONDS = 0.15
"""How long it may take to end after its input has: the launcher itself is killed some 490 ms after its SIGINT."""

TERM_SECONDS = 0.1
"""How long it may take after SIGTERM, before SIGKILL."""

LOOK_SECONDS = 0.005
"""The pause between two looks at a process that is ending."""

WORDS = 2000
"""How much of its standard error is kept to tell why it died."""

STDERR = 2


class RealServer:
    """A server that has been started.

    It leads a session of its own, so that ^C in a terminal reaches the launcher alone, which then ends it in order.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], holds: Sequence[int] = ()) -> None:
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environ),
            bufsize=0,
            pass_fds=tuple(holds),
            start_new_session=True,
        )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for stream in (process.stdin, process.stdout, process.stderr):
            os.set_blocking(stream.fileno(), False)
        self._input = streams.Outlet(process.stdin.fileno())
        self._output = streams.Lines(process.stdout.fileno())
        self._complaints: int | None = process.stderr.fileno()
        self._words = b""

    @property
    def unread_size(self) -> int:
        """The bytes that it has been told and has not read."""
        return self._input.size

    def readable(self) -> set[int]:
        """What to wait for until it has said something."""
        return {self._output.descriptor} | ({self._complaints} if self._complaints is not None else set())

    def writable(self) -> set[int]:
        """What to wait for until it takes more of what it was told."""
        return {self._input.descriptor} if self._input.size else set()

    def tell(self, lines: Sequence[bytes]) -> None:
        """Have `lines` written to it."""
        if lines:
            self._input.add(lines)
            self._input.write()

    def attend(self, ready: set[int]) -> list[bytes]:
        """The lines that it has said, after a wait that found these descriptors ready."""
        if self._input.descriptor in ready:
            self._input.write()
        if self._complaints in ready:
            self._hear_complaints()
        return self._output.read() if self._output.descriptor in ready else []

    def is_over(self) -> bool:
        """Whether it has died, or closed its output and so is of no use."""
        return self._output.ended or self._process.poll() is not None

    def remaining(self) -> list[bytes]:
        """What it had said before it died and nobody has read."""
        lines: list[bytes] = []
        while not self._output.ended and select.select([self._output.descriptor], [], [], 0)[0]:
            lines += self._output.read()
        return lines

    def end(self) -> str:
        """How it ended, in words; it is ended if it has not been, and nothing of its session is left afterwards."""
        process = self._process
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        if not self._is_gone(EOF_SECONDS):
            self._signal(signal.SIGTERM)
            if not self._is_gone(TERM_SECONDS):
                self._signal(signal.SIGKILL)
        status = process.wait()
        self._signal(signal.SIGKILL)
        while self._complaints is not None and select.select([self._complaints], [], [], 0)[0]:
            self._hear_complaints()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        return f"{processes.in_words(status)}{self._last_words()}"

    def _hear_complaints(self) -> None:
        """Pass on what it says on standard error, and keep the last of it."""
        assert self._complaints is not None
        try:
            said = os.read(self._complaints, select.PIPE_BUF)
        except BlockingIOError:
            return
        self._words = (self._words + said)[-WORDS:]
        if not said:
            self._complaints = None
            return
        # What nobody reads is lost: the protocol must not wait for the log.
        with contextlib.suppress(OSError, ValueError):
            if select.select([], [STDERR], [], 0)[1]:
                os.write(STDERR, said)

    def _is_gone(self, seconds: float) -> bool:
        # Not Popen.wait(timeout): its looks are up to 50 ms apart, an eighth of what there is.
        deadline = time.monotonic() + seconds
        while self._process.poll() is None:
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def _signal(self, number: int) -> None:
        """Send a signal to what is left of its session. macOS refuses that for a zombie."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _last_words(self) -> str:
        lines = [line for line in self._words.decode("utf-8", "replace").splitlines() if line.strip()]
        return f": {records.one_line(lines[-1], 300)}" if lines else ""
