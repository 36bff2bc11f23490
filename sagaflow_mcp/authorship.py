"""The author's own file and line behind an error in a pinned copy."""

from __future__ import annotations

import inspect
import json
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def original(path: str) -> str | None:
    """The author's file that `path` is a pinned copy of; None when `path` is no part of a pinned copy."""
    for folder in Path(path).parents:
        if folder.name == "code":
            try:
                origin = json.loads((folder.parent / ORIGIN).read_text(encoding="utf-8"))
                return str(Path(origin["source"], Path(path).relative_to(folder)))
            except (OSError, ValueError, KeyError, TypeError):
                continue
    return None


def author_path(path: str) -> str:
    """The author's file that `path` is a pinned copy of, else `path` itself."""
    return original(path) or path


def place(error: BaseException) -> Place:
    """Where in a pinned skill `error` was raised."""
    return innermost(traceback.extract_tb(error.__traceback__))


def innermost(frames: Iterable[traceback.FrameSummary]) -> Place:
    """The last of `frames` that is in a pinned skill."""
    for frame in reversed(list(frames)):
        found = original(frame.filename)
        if found:
            return Place(found, frame.lineno)
    return Place()


def place_of(thing: object) -> Place:
    """Where in a pinned skill the function or class `thing` is written."""
    try:
        file = inspect.getsourcefile(thing)  # type: ignore[arg-type] # What it is no source of is a TypeError.
        _, line = inspect.getsourcelines(thing)  # type: ignore[arg-type] # As above.
    except (OSError, TypeError):
        return Place()
    found = original(file or "")
    return Place(found, line) if found else Place()


def aside(error: BaseException) -> str:
    """Where in a pinned skill `error` was raised, as ` (FILE, line N)`; empty when it was not raised there."""
    return place(error).aside


def source_line(error: BaseException) -> str:
    """The text of the author's line that raised `error`; empty when it is not known."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if original(frame.filename):
            return frame.line or ""
    return ""
