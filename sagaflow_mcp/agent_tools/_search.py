"""The tools that find files, and texts in them."""

from __future__ import annotations

import os
import select
import subprocess
import time
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING, Annotated

from pydantic import BaseModel, Field

from sagaflow_mcp.agent_tools._workspace import KERNEL_FOLDERS
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
    folder, pattern = workspace.readable(given.path), PurePath(given.pattern)
    if not folder.is_dir():
        raise Refusal(f"{given.path!r} is not a folder")
    if pattern.is_absolute() or ".." in pattern.parts:
        raise Refusal(f"pattern {given.pattern!r} leads out of the folder; give the folder as `path`")
    fitting = (
        workspace.shown(path)
        for path in _files(folder, None if "**" in pattern.parts else len(pattern.parts))
        if _fits(path.relative_to(folder).parts, pattern.parts) and path.is_file() and workspace.is_readable(str(path))
    )
    return _told(sorted(islice(fitting, SORTED_LIMIT)), "no file fits")


def _files(folder: Path, depth: int | None) -> Iterator[Path]:
    """What lies at most `depth` levels below the folder, at any where it is None. Refusal when it takes too long.

    Not Path.glob: it comes back with what fits alone, and where nothing does there is no moment to look at the clock.
    """
    end = time.monotonic() + SECONDS
    for where, folders, names in os.walk(folder):
        level = len(Path(where).relative_to(folder).parts) + 1
        if depth is not None and level >= depth:
            folders.clear()
        folders[:] = [each for each in folders if each not in SKIPPED and f"{where}{each}" not in KERNEL_FOLDERS]
        _check_time(end)
        for name in names:
            _check_time(end)
            yield Path(where, name)


def _fits(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether the parts of a path fit those of a pattern."""
    # For each place in the pattern, whether what is left of it there fits what is left of the path: from the end on,
    # since many `**` would else be tried in every combination.
    fits = [all(piece == "**" for piece in pattern[place:]) for place in range(len(pattern) + 1)]
    for part in reversed(parts):
        shorter, fits = fits, [False] * len(fits)
        for place in reversed(range(len(pattern))):
            if pattern[place] == "**":
                fits[place] = shorter[place] or fits[place + 1]
            else:
                fits[place] = shorter[place + 1] and fnmatchcase(part, pattern[place])
    return fits[0]


def _check_time(end: float) -> None:
    if time.monotonic() > end:
        raise Refusal(f"the search took longer than {SECONDS:g} s; give a narrower pattern or folder")


def grep(given: Grep, workspace: Workspace) -> str:
    """The lines found, each with its file and number. Refusal when the expression or the folder will not do."""
    target = workspace.readable(given.path)
    if not (target.is_dir() or target.is_file()):
        raise Refusal(f"{given.path!r} is neither a file nor a folder")
    command = ["grep", "-E", "-I", "-n", "-H", "-r", "-s", "--null", *(["-i"] if given.ignore_case else [])]
    command += [f"--include={given.include}"] if given.include else []
    command += [f"--exclude-dir={each}" for each in (*SKIPPED, *_hidden(target, workspace)) if each != target.name]
    said = _said([*command, "-e", given.pattern, "--", str(target)])
    return _told(_lines(said, workspace), "no line fits")


def _lines(said: bytes, workspace: Workspace) -> list[str]:
    """The lines in what `grep` says, by file; none of a file that the agent may not read."""
    notes, found = list[str](), dict[str, list[str]]()
    for line in said.split(b"\n"):
        name, is_found, text = line.partition(b"\0")
        if is_found:
            found.setdefault(os.fsdecode(name), []).append(text.decode(errors="replace").rstrip("\r"))
        elif line.startswith(b"grep: "):  # Such as that `\d` is no digit.
            notes.append(line.decode(errors="replace"))
    for file, texts in sorted(found.items()):
        if workspace.is_readable(file):
            notes += [f"{workspace.shown(Path(file))}:{text}" for text in texts]
    return [line[:LINE_LIMIT] for line in notes]


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
        except BaseException:
            process.kill()
            raise
        if len(output) >= OUTPUT_LIMIT:
            process.kill()
    # Where a line was found, an unreadable file beside it is no failure.
    if process.returncode > 1 and output and b"\0" not in output:
        raise Refusal(f"the search failed: {output.decode(errors='replace').strip()[:LINE_LIMIT]}")
    return output


def _read(stream: IO[bytes]) -> bytes:
    """What comes until it ends, or there is enough. Refusal when it takes too long."""
    end, output = time.monotonic() + SECONDS, b""
    waiting = select.poll()  # Not select(): it takes no descriptor from 1,024 up.
    waiting.register(stream, select.POLLIN)
    while len(output) < OUTPUT_LIMIT:
        if not waiting.poll(max(0.0, end - time.monotonic()) * 1000):
            _check_time(end)
            continue
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


def _told(found: list[str], nothing: str) -> str:
    if len(found) > FOUND_LIMIT:
        found = [*found[:FOUND_LIMIT], f"(more than {FOUND_LIMIT}; look for less)"]
    return "\n".join(found) or f"({nothing})"
