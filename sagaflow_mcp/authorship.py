"""The author's own files behind a pinned copy, and the place in them where an error was raised."""

from __future__ import annotations

import inspect
import json
import linecache
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sagaflow_mcp import skill_imports

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType

ORIGIN = "origin.json"
"""The file beside a pinned copy that names the directory it was copied from."""


class Place(NamedTuple):
    """A line of the author's."""

    file: str = ""
    """Empty when it is not known."""
    line: int | None = None

    @property
    def aside(self) -> str:
        """The place as ` (FILE, line N)`; empty when it is not known."""
        where = self.file if self.line is None else f"{self.file}, line {self.line}"
        return f" ({where})" if self.file else ""


def author_path(path: str) -> str:
    """The author's file that `path` is a pinned copy of, else `path` itself."""
    for folder in Path(path).parents:
        if folder.name == "code":
            try:
                origin = json.loads((folder.parent / ORIGIN).read_text(encoding="utf-8"))
                return str(Path(origin["source"], Path(path).relative_to(folder)))
            except (OSError, ValueError, KeyError, TypeError):
                continue
    return path


def place(error: BaseException) -> Place:
    """Where in a skill `error` was raised."""
    return next(_places(reversed(list(traceback.walk_tb(error.__traceback__)))), Place())


def aside(error: BaseException) -> str:
    """Where in a skill `error` was raised, as ` (FILE, line N)`; empty when it was not raised there."""
    return place(error).aside


def running(frame: FrameType) -> Place:
    """Where in a skill the code is that has called its way to `frame`."""
    return next(_places(traceback.walk_stack(frame)), Place())


def place_of(thing: object) -> Place:
    """Where in a skill the function or class `thing` is written."""
    if not _is_of_a_skill(getattr(thing, "__module__", None)):
        return Place()
    try:
        file = inspect.getsourcefile(thing)  # type: ignore[arg-type] # What it is no source of is a TypeError.
        _, line = inspect.getsourcelines(thing)  # type: ignore[arg-type] # As above.
    except (OSError, TypeError):
        return Place()
    return Place(author_path(file), line) if file else Place()


def source_line(error: BaseException) -> str:
    """The text of the author's line that raised `error`; empty when it is not known."""
    found = place(error)
    return linecache.getline(found.file, found.line) if found.line else ""


def _places(frames: Iterable[tuple[FrameType, int]]) -> Iterator[Place]:
    """Those of `frames` that are in a skill."""
    for frame, line in frames:
        file = frame.f_code.co_filename
        # Not by the file: a skill is compiled under its author's name for it. `<string>` is code that a library made.
        if _is_of_a_skill(frame.f_globals.get("__name__")) and not file.startswith("<"):
            yield Place(file, line)


def _is_of_a_skill(module: object) -> bool:
    return str(module).startswith(f"{skill_imports.TOP}.")
