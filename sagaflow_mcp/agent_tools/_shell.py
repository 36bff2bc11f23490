"""The tool that runs a command."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from sagaflow_mcp import child_environ, leash
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sagaflow_mcp.agent_tools._workspace import Workspace

LONGEST = timedelta(minutes=30)
"""How long a command may take at most."""

SHOWN_BYTES = 20_000
"""How much of the beginning of a long output, and of its end, the model is told."""

KEPT_BYTES = 10_000_000
"""How much of an output is kept; what comes after it is read and dropped, but for the end."""

PIECE_BYTES = 65_536

END_SECONDS = leash.SECONDS + 5.0
"""How long what is left of a command may take to end."""

FOLDER = "command-output"
"""Where in the run's folder long outputs are."""


class Bash(BaseModel):
    """Run a command with bash in the working folder, and read what it prints, errors included, and its exit status.

    Nothing can be typed into it, and whatever it leaves running in the background is ended with it. Unlike the other
    tools it is not confined to certain files: take care to touch nothing that the task does not need.
    """

    command: str = Field(min_length=1)
    timeout_seconds: float = Field(default=120, gt=0, le=LONGEST.total_seconds())


async def bash(given: Bash, workspace: Workspace) -> str:
    """What the command has printed, and its exit status. Refusal when it cannot be run, or takes too long.

    On Linux nothing that it has started outlives it, unless it kills what watches over it; elsewhere a process that has
    left both its parents and the process group does.
    """
    output = _Output()
    if not await asyncio.to_thread(workspace.start.is_dir):
        raise Refusal(f"the working folder {str(workspace.start)!r} is gone; without it no command can be run")
    if "\0" in given.command:
        raise Refusal("the command holds a NUL character, which no command can")
    try:
        async with asyncio.timeout(given.timeout_seconds), _leashed(given.command, workspace) as process:
            assert process.stdout is not None
            while piece := await process.stdout.read(PIECE_BYTES):
                output.add(piece)
            status = await process.wait()
    except TimeoutError:
        said = await asyncio.to_thread(output.told, workspace)
        told = f"the command took longer than {given.timeout_seconds:g} s and was ended; so far:\n{said}"
        raise Refusal(told) from None
    said = await asyncio.to_thread(output.told, workspace)
    if status < 0:
        raise Refusal(f"what watches over the command was killed, so its exit status is unknown; it printed:\n{said}")
    return f"exit status {status}\n{said}"


@contextlib.asynccontextmanager
async def _leashed(command: str, workspace: Workspace) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command under way; nothing of it is left afterwards, not even if we are killed."""
    shell = shutil.which("bash") or "/bin/sh"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", leash.__file__, shell, "-c", command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        cwd=workspace.start,
        env=child_environ.of_child(os.environ),
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


class _Output:
    """What a command prints: the beginning and the end of it are told, and most is kept."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._end = b""
        self._size = 0

    def add(self, piece: bytes) -> None:
        """Take in what comes next."""
        self._size += len(piece)
        self._kept += piece[: KEPT_BYTES - len(self._kept)]
        self._end = (self._end + piece)[-SHOWN_BYTES:]

    def told(self, workspace: Workspace) -> str:
        """What the model is told of it; the most of a long one is a file of the run."""
        if self._size <= 2 * SHOWN_BYTES:
            return self._kept.decode(errors="replace") or "(it printed nothing)"
        beginning, end = (part.decode(errors="replace") for part in (self._kept[:SHOWN_BYTES], self._end))
        left_out = f"{self._size - 2 * SHOWN_BYTES:,} of {self._size:,} bytes left out"
        try:
            path = _new_file(workspace.run_files / FOLDER, bytes(self._kept))
            where = f"the first {len(self._kept):,} are in {path}"
        except OSError as error:  # The command has run; that its output cannot be kept must not hide that.
            where = f"they could not be kept: {error.strerror}"
        return f"{beginning}\n({left_out}; {where})\n{end}"


def _new_file(folder: Path, content: bytes) -> Path:
    """A file with `content` and the next number as its name."""
    folder.mkdir(mode=0o700, exist_ok=True)
    number = 1
    while True:
        try:
            with (folder / f"{number}.txt").open("xb") as file:
                file.write(content)
            return folder / f"{number}.txt"
        except FileExistsError:
            number += 1
