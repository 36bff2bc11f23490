"""How much of the disk the home takes."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp.health._check import Check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagaflow_mcp.faces import Face
    from sagaflow_mcp.settings import Settings

LARGE_BYTES = 10_000_000_000
"""More than this is worth a look."""

SECONDS = 3.0
"""How long sizes are added up; a home of many files is then said to have more."""


def use(settings: Settings, face: Face) -> Iterator[Check]:
    """The sizes of the parts of the home."""
    home, deadline = settings.home, time.monotonic() + SECONDS
    folders = {"runs": home.runs, "blobs": home.blobs, "skills": home.skills, "engine": home.engine}
    sizes = {name: _size(folder, deadline) for name, folder in folders.items()}
    more = "more than " if time.monotonic() > deadline else ""
    finding = more + ", ".join(f"{name} {size // 1_000_000} MB" for name, size in sizes.items())
    is_large = sum(sizes.values()) > LARGE_BYTES
    yield Check("disk use", "warn" if is_large else "ok", finding, face.make_room if is_large else "")


def _size(folder: str, deadline: float) -> int:
    """The bytes of the files below `folder` that were looked at before `deadline`."""
    total = 0
    for root, _, names in os.walk(folder):
        if time.monotonic() > deadline:
            break
        for name in names:
            with contextlib.suppress(OSError):  # It was removed meanwhile.
                total += Path(root, name).lstat().st_size
    return total
