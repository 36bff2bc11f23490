"""The index of runs that have ended: what lists are filtered by, so that a filter need not read the files of all runs.

A cache and nothing else: what it says of a run counts only while the run's folder is unchanged, and it may be deleted.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from sagaflow_mcp import paths, records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagaflow_mcp.paths import Home

VERSION = 1
"""Of the file; one of another version is made anew."""

SETTLED_NS = 2_000_000_000
"""A folder that was changed more recently may change again within the same tick of the file system's clock."""

FEW = 20
"""So many runs that are not in the file yet are read again next time: to write it takes longer."""


class Known(NamedTuple):
    """What is known of one run's folder."""

    launched: float
    """When its run.json was written, in seconds since the epoch; 0 when there is none."""
    state: str
    """How it ended; empty where it is no run that has ended."""
    skill: str
    project_dir: str
    created_at: str


class RunFolder(NamedTuple):
    """A folder of the home's runs."""

    name: str
    path: str
    changed_ns: int
    """When an entry of it was last added, replaced or removed."""


class RunIndex:
    """The index of one home, read when it is first needed and written by `keep`."""

    def __init__(self, home: Home) -> None:
        self._path = os.path.join(home.engine, "run-index.json")  # noqa: PTH118 - see below
        self._began_ns = time.time_ns()
        self._known: dict[str, list[Any]] = _read(self._path)
        self._added = 0

    def find(self, folder: RunFolder) -> Known | None:
        """What is known of `folder` as it is now; None when nothing is."""
        row = self._known.get(folder.name)
        if row is None or row[0] != folder.changed_ns:
            return None
        return Known(*row[1:])

    def add(self, folder: RunFolder, known: Known) -> None:
        """Remember `known`, unless the folder may be changing just now."""
        if self._began_ns - folder.changed_ns > SETTLED_NS:
            self._known[folder.name] = [folder.changed_ns, *known]
            self._added += 1

    def keep(self, folders: list[RunFolder]) -> None:
        """Write it down where enough is new, without what is none of `folders` any more. Never raises."""
        if self._added <= FEW:
            return
        there = {folder.name for folder in folders}
        rows = {name: row for name, row in self._known.items() if name in there}
        with contextlib.suppress(OSError):  # The disk is full, say: then the files are read again.
            paths.write_atomically(self._path, json.dumps({"version": VERSION, "runs": rows}, separators=(",", ":")))


def folders(home: Home) -> Iterator[RunFolder]:
    """The folders of runs in the home, in no order; those removed meanwhile are left out."""
    # Not pathlib: with 10,000 runs its objects take longer than the system.
    with os.scandir(home.runs) as entries:
        for entry in entries:
            if not records.is_run_id(entry.name):
                continue
            with contextlib.suppress(OSError):
                yield RunFolder(entry.name, entry.path, entry.stat().st_mtime_ns)


def launched(folder: RunFolder) -> float:
    """When the run was launched: run.json is written once, so that no file need be read to sort runs."""
    try:
        return os.stat(folder.path + "/run.json").st_mtime  # noqa: PTH116 - as above
    except OSError:
        return 0.0


def _read(path: str) -> dict[str, list[Any]]:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - as above
            found = json.load(file)
        rows = found["runs"] if found["version"] == VERSION else {}
        return {name: row for name, row in rows.items() if len(row) == len(Known._fields) + 1}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
