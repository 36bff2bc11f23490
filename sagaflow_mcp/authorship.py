"""The author's own files behind a pinned copy, and the place in them where an error was raised."""

from __future__ import annotations

import json
import linecache
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import skill_imports

if TYPE_CHECKING:
    from collections.abc import Iterator

ORIGIN = "origin.json"
"""The file beside a pinned copy that names the directory it was copied from."""


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


def aside(error: BaseException) -> str:
    """Where in a skill `error` was raised, as ` (FILE, line N)`; empty when it was not raised there."""
    for file, line in _places(error):
        return f" ({file}, line {line})"
    return ""


def source_line(error: BaseException) -> str:
    """The text of the author's line that raised `error`; empty when it is not known."""
    for file, line in _places(error):
        return linecache.getline(file, line)
    return ""


def _places(error: BaseException) -> Iterator[tuple[str, int]]:
    """The author's files and lines that `error` came through, the innermost first."""
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        file = frame.f_code.co_filename
        # Not by the file: a skill is compiled under its author's name for it. `<string>` is code that a library made.
        if str(frame.f_globals.get("__name__")).startswith(f"{skill_imports.TOP}.") and not file.startswith("<"):
            yield file, line
