"""The tool that runs a command."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from sagaflow_mcp import commands
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from pathlib import Path

    from sagaflow_mcp.agent_tools._workspace import Workspace

LONGEST = timedelta(minutes=30)
"""How long a command may take at most."""

SHOWN_BYTES = 20_000
"""How much of the beginning of a long output, and of its end, the model is told."""

KEPT_BYTES = 10_000_000
"""How much of an output is kept; what comes after it is read and dropped, but for the end."""

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
    output = commands.Output(KEPT_BYTES, SHOWN_BYTES)
    try:
        status = await commands.carry_out(given.command, workspace.start, given.timeout_seconds, output)
    except TimeoutError:
        said = await asyncio.to_thread(_told, output, workspace)
        told = f"the command took longer than {given.timeout_seconds:g} s and was ended; so far:\n{said}"
        raise Refusal(told) from None
    said = await asyncio.to_thread(_told, output, workspace)
    if status is None:
        raise Refusal(f"what watches over the command was killed, so its exit status is unknown; it printed:\n{said}")
    return f"exit status {status}\n{said}"


def _told(output: commands.Output, workspace: Workspace) -> str:
    """What the model is told of it; the most of a long one is a file of the run."""
    if not output.is_long:
        return output.shown() or "(it printed nothing)"
    try:
        path = _new_file(workspace.run_files / FOLDER, output.kept)
        return output.shown(f"the first {len(output.kept):,} are in {path}")
    except OSError as error:  # The command has run; that its output cannot be kept must not hide that.
        return output.shown(f"they could not be kept: {error.strerror}")


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
