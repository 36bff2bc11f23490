"""The files below a folder whose path fits a pattern; no folder is looked into in which there can be none."""

from __future__ import annotations

import fnmatch
import os
import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANY = "**"
"""The part of a pattern that stands for any folders, also for none."""


class Pattern:
    """A pattern, such as `src/**/*.py`. Refusal when it is none.

    A set of places in it, from 0 to the number of its parts, says how much of it a path has fitted so far.
    """

    def __init__(self, text: str) -> None:
        parts = PurePath(text).parts
        if not parts or any(ANY in part and part != ANY for part in parts):
            raise Refusal(
                f"pattern {text!r} cannot be looked for; `{ANY}` is a part of its own, as in `src/{ANY}/*.py`"
            )
        self._parts = [ANY if part == ANY else re.compile(fnmatch.translate(part)) for part in parts]
        self.start = self._with_next({0})

    def after(self, places: set[int], name: str, *, is_link: bool = False) -> set[int]:
        """The places after a further folder or file; `**` stands for no folder that is a link, which may go round."""
        found = set()
        for place in places - {len(self._parts)}:
            part = self._parts[place]
            if isinstance(part, re.Pattern):
                found |= {place + 1} if part.match(name) else set()
            elif not is_link:
                found.add(place)
        return self._with_next(found)

    def is_whole(self, places: set[int]) -> bool:
        """Whether all of it has been fitted."""
        return len(self._parts) in places

    def _with_next(self, places: set[int]) -> set[int]:
        """`places`, and those that follow where `**` stands for nothing."""
        found = set(places)
        for place in range(len(self._parts)):
            if place in found and self._parts[place] == ANY:
                found.add(place + 1)
        return found


def files(folder: str, pattern: Pattern, is_skipped: Callable[[os.DirEntry[str]], bool]) -> Iterator[str]:
    """The absolute paths of the files that fit, and an empty text for each that does not.

    So whoever asks can stop, however long nothing is found. What cannot be read is left out.
    """
    waiting = [(folder, pattern.start)]
    while waiting:
        path, places = waiting.pop()
        try:
            entries = list(os.scandir(path))
        except OSError:
            continue
        for entry in entries:
            after = set() if is_skipped(entry) else pattern.after(places, entry.name, is_link=entry.is_symlink())
            is_file = bool(after) and _is(entry.is_file)
            if after and not is_file and _is(entry.is_dir):
                waiting.append((entry.path, after))
            yield entry.path if is_file and pattern.is_whole(after) else ""


def _is(question: Callable[[], bool]) -> bool:
    try:
        return question()
    except OSError:
        return False
