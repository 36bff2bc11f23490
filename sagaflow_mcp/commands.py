"""Commands of a shell, for steps of skills: bounded in time and output, and nothing of them is left.

from sagaflow_mcp import commands

ran = await ctx.step(commands.run, "make test", ctx.project_dir, 300, timeout=360)
if not ran.passed:
...
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence  # noqa: TC003 - the step's arguments are made of these types
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import child_environ, leash
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SHOWN_BYTES = 10_000
"""How much of the beginning of a long output, and of its end, `run` returns unless its caller says otherwise."""

PIECE_BYTES = 65_536
"""How much of an output is read at once."""

END_SECONDS = leash.SECONDS + 5.0
"""How long what is left of a command may take to end."""


@dataclass(frozen=True)
class Result:
    """What came of a command."""

    command: str
    status: int | None
    """Its exit status; None where it has none, for the reason that `problem` is."""
    output: str
    """What it has printed, errors included; of a long output the beginning and the end."""
    seconds: float
    """How long it took."""
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Whether its exit status is 0."""
        return self.status == 0

    @property
    def outcome(self) -> str:
        """Its exit status in words, or why it has none."""
        return self.problem or f"exit status {self.status}"


async def run(
    command: str,
    folder: str | Path,
    timeout_seconds: float = 600,
    environment: Mapping[str, str] | None = None,
    shown_bytes: int = SHOWN_BYTES,
) -> Result:
    """What came of `command`, run by bash in `folder`; one that fails or takes too long is a result as well.

    Nothing can be typed into it. On Linux nothing that it has started outlives it, nor the worker; elsewhere a process
    that has left both its parents and their process group does. It does not have the keys of the run's model.

    Args:
        command: as one would type it.
        folder: where it is run.
        timeout_seconds: after so long it is ended. Let the step's own timeout be longer.
        environment: variables that it has besides the worker's.
        shown_bytes: how much of the beginning of a long output, and of its end, is returned.

    Raises:
        Refusal: it cannot be run: there is no such folder, or it is no text that a shell takes.
    """
    output, start = Output(shown_bytes, shown_bytes), time.monotonic()
    try:
        status = await carry_out(command, Path(folder), timeout_seconds, output, environment)
    except TimeoutError:
        seconds = time.monotonic() - start
        return Result(command, None, output.shown(), seconds, f"ended after {timeout_seconds:g} s, its time limit")
    seconds = time.monotonic() - start
    if status is None:
        return Result(command, None, output.shown(), seconds, "without exit status: what watches over it was killed")
    return Result(command, status, output.shown(), seconds)


async def carry_out(
    command: str,
    folder: Path,
    timeout_seconds: float,
    output: Output,
    environment: Mapping[str, str] | None = None,
) -> int | None:
    """The exit status of `command`, whose output goes to `output`; None where what watches over it was killed.

    Raises:
        TimeoutError: it took longer than `timeout_seconds`, and was ended.
        Refusal: it cannot be run.
        OSError: as well.
    """
    if not await asyncio.to_thread(folder.is_dir):
        raise Refusal(f"the working folder {str(folder)!r} is gone; without it no command can be run")
    if "\0" in command:
        raise Refusal("the command holds a NUL character, which no command can")
    words = [shutil.which("bash") or "/bin/sh", "-c", command]
    environ = {**child_environ.of_child(os.environ), **(environment or {})}
    async with asyncio.timeout(timeout_seconds), leashed(words, folder, environ) as process:
        assert process.stdout is not None
        while piece := await process.stdout.read(PIECE_BYTES):
            output.add(piece)
        status = await process.wait()
    return None if status < 0 else status


@contextlib.asynccontextmanager
async def leashed(
    words: Sequence[str], folder: str | Path, environ: Mapping[str, str], errors: int = asyncio.subprocess.STDOUT
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program that `words` call, under way; nothing of it is left afterwards, not even if we are killed.

    It ends as well when its standard input is closed, of which it sees nothing.

    Args:
        words: its path and its arguments.
        folder: where it runs.
        environ: all that it has of an environment.
        errors: the descriptor that its errors go to; where there is none, they are part of the output.

    Raises:
        OSError: it cannot be run there.
        ValueError: a word holds a NUL character.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", leash.__file__, *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
        cwd=folder,
        env=environ,
    )
    assert process.stdin is not None
    try:
        yield process
    finally:
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), END_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # Where the command has killed what ends it.


class Output:
    """What a command prints: its beginning and its end.

    Args:
        kept_bytes: how much of the beginning is kept.
        shown_bytes: how much of the beginning, and of the end, is shown of a long one.
    """

    def __init__(self, kept_bytes: int, shown_bytes: int) -> None:
        self._kept_bytes = max(kept_bytes, 2 * shown_bytes)
        self._shown_bytes = shown_bytes
        self._kept = bytearray()
        self._end = b""
        self._size = 0

    @property
    def kept(self) -> bytes:
        """As much of the beginning as is kept."""
        return bytes(self._kept)

    @property
    def size(self) -> int:
        """How many bytes it had to say."""
        return self._size

    @property
    def is_long(self) -> bool:
        """Whether a part of it is left out where it is shown."""
        return self._size > 2 * self._shown_bytes

    def add(self, piece: bytes) -> None:
        """Take in what comes next."""
        self._size += len(piece)
        self._kept += piece[: self._kept_bytes - len(self._kept)]
        self._end = (self._end + piece)[-self._shown_bytes :] if self._shown_bytes else b""

    def shown(self, where: str = "") -> str:
        """Its text; of a long one the beginning and the end, and between them `where` the rest is."""
        if not self.is_long:
            return self._kept.decode(errors="replace")
        beginning, end = (part.decode(errors="replace") for part in (self._kept[: self._shown_bytes], self._end))
        left_out = f"{self._size - 2 * self._shown_bytes:,} of {self._size:,} bytes left out"
        return f"{beginning}\n({left_out}{where and '; '}{where})\n{end}"
