"""The author's own file and line behind an error in a pinned copy."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

ORIGIN = "origin.json"
"""The file beside a pinned copy that names the directory it was copied from."""


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


def aside(error: BaseException) -> str:
    """Where in a pinned skill `error` was raised, as ` (FILE, line N)`; empty when it was not raised there."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        found = original(frame.filename)
        if found:
            return f" ({found}, line {frame.lineno})"
    return ""


def source_line(error: BaseException) -> str:
    """The text of the author's line that raised `error`; empty when it is not known."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if original(frame.filename):
            return frame.line or ""
    return ""
