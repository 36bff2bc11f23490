"""The tools that find files, and texts in them."""

from __future__ import annotations

import select
import subprocess
import time
from itertools import islice
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field

from sagaflow_mcp.agent_tools._workspace import SECRET_FILES, SECRET_FOLDERS
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagaflow_mcp.agent_tools._workspace import Workspace

FOUND_LIMIT = 500
"""The most paths or lines that are told."""

SORTED_LIMIT = 10_000
"""The most paths that are put in order."""

OUTPUT_LIMIT = 4 * 1024 * 1024
"""How much of what a search finds is looked at, in bytes."""

SECONDS = 20.0
"""How long a search may take."""

LINE_LIMIT = 400
"""The longest line told, in characters."""

SKIPPED = (".git", "node_modules", "__pycache__", ".venv")
"""Folders that are not searched unless the search starts inside."""


class Glob(BaseModel):
    """List the files whose path fits a pattern, such as `**/*.py`."""

    pattern: Annotated[str, Field(min_length=1, description="relative to `path`; `**` stands for any folders")]
    path: Annotated[str, Field(description="the folder to look in")] = "."


class Grep(BaseModel):
    """Find the lines that fit an extended regular expression, as `grep -E` does."""

    pattern: Annotated[str, Field(min_length=1, description="an extended regular expression")]
    path: Annotated[str, Field(description="the file or the folder to look in")] = "."
    include: Annotated[str, Field(description="only in files whose name fits this, such as `*.py`")] = ""
    ignore_case: Annotated[bool, Field(description="whether small and capital letters are the same")] = False


def glob(given: Glob, workspace: Workspace) -> str:
    """The paths found in order, a line each. Refusal when the pattern or the folder will not do."""
    folder = workspace.readable(given.path)
    if PurePath(given.pattern).is_absolute() or ".." in PurePath(given.pattern).parts:
        raise Refusal(f"pattern {given.pattern!r} leads out of the folder; give the folder as `path`")
    try:
        found = sorted(islice(_fitting(folder, given.pattern, workspace), SORTED_LIMIT))
    except (OSError, ValueError, NotImplementedError) as error:
        raise Refusal(f"pattern {given.pattern!r} cannot be looked for in {given.path!r}: {error}") from error
    return _told(found, "no file fits")


def _fitting(folder: Path, pattern: str, workspace: Workspace) -> Iterator[str]:
    end = time.monotonic() + SECONDS
    for path in folder.glob(pattern):
        if time.monotonic() > end:
            raise Refusal(f"the search took longer than {SECONDS:g} s; give a narrower pattern or folder")
        below = path.relative_to(folder).parts
        if any(part in SKIPPED for part in below) or not path.is_file():
            continue
        try:
            workspace.readable(str(path))
        except Refusal:
            continue
        yield workspace.shown(path)


def grep(given: Grep, workspace: Workspace) -> str:
    """The lines found, each with its file and number. Refusal when the expression or the folder will not do."""
    target = workspace.readable(given.path)
    command = ["grep", "-E", "-I", "-n", "-H", "-r", "-s", *(["-i"] if given.ignore_case else [])]
    # First: what nothing here names is searched unless the first of them is this one.
    command += [f"--include={given.include}"] if given.include else []
    command += [f"--exclude={each}" for each in SECRET_FILES]
    command += [f"--exclude-dir={each}" for each in (*SECRET_FOLDERS, *SKIPPED, *_hidden(target, workspace))]
    said = _said([*command, "-e", given.pattern, "--", str(target)])
    start = f"{workspace.start.resolve()}/"
    lines = [line.removeprefix(start)[:LINE_LIMIT] for line in said.decode(errors="replace").splitlines()]
    # By file alone: the lines of each are in order.
    return _told(sorted(lines, key=lambda line: line.partition(":")[0]), "no line fits")


def _said(command: list[str]) -> bytes:
    """The first `OUTPUT_LIMIT` bytes of what `command` prints. Refusal when it fails, or takes too long."""
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
        )
    except (OSError, ValueError) as error:
        raise Refusal(f"the search cannot be made: {error}") from error
    with process:
        assert process.stdout is not None
        try:
            output = _read(process.stdout)
        except Refusal:
            process.kill()
            raise
        if len(output) >= OUTPUT_LIMIT:
            process.kill()
    # Lines that were found begin with the absolute path of the file.
    if process.returncode > 1 and output and not output.startswith(b"/"):
        raise Refusal(f"the search failed: {output.decode(errors='replace').strip()[:LINE_LIMIT]}")
    return output


def _read(stream: IO[bytes]) -> bytes:
    """What comes until it ends, or there is enough. Refusal when it takes too long."""
    end, output = time.monotonic() + SECONDS, b""
    while len(output) < OUTPUT_LIMIT:
        if not select.select([stream], [], [], max(0.0, end - time.monotonic()))[0]:
            raise Refusal(f"the search took longer than {SECONDS:g} s; give a narrower expression or folder")
        piece = stream.read(OUTPUT_LIMIT - len(output))
        if not piece:
            break
        output += piece
    return output


def _hidden(target: Path, workspace: Workspace) -> list[str]:
    """The names of folders below `target` that are out of reach."""
    home = Path(workspace.hidden).resolve() if workspace.hidden else None
    return [home.name] if home is not None and target in home.parents else []


def _told(found: list[str], nothing: str) -> str:
    if len(found) > FOUND_LIMIT:
        found = [*found[:FOUND_LIMIT], f"(more than {FOUND_LIMIT}; look for less)"]
    return "\n".join(found) or f"({nothing})"
