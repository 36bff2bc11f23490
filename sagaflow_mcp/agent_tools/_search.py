"""The tools that find files, and texts in them."""

from __future__ import annotations

import select
import subprocess
import time
from itertools import islice
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field

from sagaflow_mcp import artifacts
from sagaflow_mcp.agent_tools import _matching
from sagaflow_mcp.agent_tools._workspace import KERNEL_FOLDERS, SECRET_FILES, SECRET_FOLDERS
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    import os
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
    if not folder.is_dir():
        raise Refusal(f"{given.path!r} is not a folder")
    if PurePath(given.pattern).is_absolute() or ".." in PurePath(given.pattern).parts:
        raise Refusal(f"pattern {given.pattern!r} leads out of the folder; give the folder as `path`")
    found = sorted(islice(_fitting(folder, _matching.Pattern(given.pattern), workspace), SORTED_LIMIT))
    return _told(found, "no file fits")


def _fitting(folder: Path, pattern: _matching.Pattern, workspace: Workspace) -> Iterator[str]:
    end = time.monotonic() + SECONDS
    for path in _matching.files(str(folder), pattern, _is_skipped):
        if time.monotonic() > end:
            raise Refusal(f"the search took longer than {SECONDS:g} s; give a narrower pattern or folder")
        if path and workspace.is_readable(path):
            yield workspace.shown(Path(path))


def _is_skipped(entry: os.DirEntry[str]) -> bool:
    return entry.name in SKIPPED or entry.path in KERNEL_FOLDERS


def grep(given: Grep, workspace: Workspace) -> str:
    """The lines found, each with its file and number. Refusal when the expression or the folder will not do."""
    target = workspace.readable(given.path)
    if not (target.is_dir() or target.is_file()):
        raise Refusal(f"{given.path!r} is neither a file nor a folder")
    command = ["grep", "-E", "-I", "-n", "-H", "-r", "-s", *(["-i"] if given.ignore_case else [])]
    # First: what nothing here names is searched unless the first of them is this one.
    command += [f"--include={given.include}"] if given.include else []
    command += [f"--exclude={_in_any_case(each)}" for each in SECRET_FILES]
    command += [f"--exclude-dir={_in_any_case(each)}" for each in SECRET_FOLDERS]
    command += [f"--exclude-dir={each}" for each in (*SKIPPED, *_hidden(target, workspace))]
    if target == workspace.run_files:
        command += [f"--{exclude}={each}" for each in artifacts.RESERVED for exclude in ("exclude", "exclude-dir")]
    said = _said([*command, "-e", given.pattern, "--", str(target)])
    start = f"{workspace.start.resolve()}/"
    # Not str.splitlines, to which a form feed ends a line.
    lines = [line.removeprefix(start)[:LINE_LIMIT] for line in said.decode(errors="replace").split("\n") if line]
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
    below = [home] if home is not None else []
    return [each.name for each in (*below, *map(Path, KERNEL_FOLDERS)) if target in each.parents]


def _in_any_case(pattern: str) -> str:
    """A pattern of `grep` for what `pattern` fits, in small letters or capitals."""
    return "".join(f"[{each.lower()}{each.upper()}]" if each.isalpha() else each for each in pattern)


def _told(found: list[str], nothing: str) -> str:
    if len(found) > FOUND_LIMIT:
        found = [*found[:FOUND_LIMIT], f"(more than {FOUND_LIMIT}; look for less)"]
    return "\n".join(found) or f"({nothing})"
