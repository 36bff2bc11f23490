"""Open-run markers: a file per run whose ending has not been delivered, written before the run is started."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from sagaflow_mcp import paths, records

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home


def write(home: Home, marker: records.OpenRun) -> None:
    """Mark a run as open; on disk when this returns. OSError if it cannot be written."""
    paths.write_atomically(_path(home, marker.run_id), marker.to_json())


def remove(home: Home, run_id: str) -> None:
    """Take the run's marker away; nothing happens when there is none."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_path(home, run_id))


def exists(home: Home, run_id: str) -> bool:
    """Whether the run `run_id` is marked as open."""
    return os.path.exists(_path(home, run_id))


def run_ids(home: Home) -> set[str]:
    """The ids of the open runs."""
    return {name for name in os.listdir(home.open_runs) if records.is_run_id(name)}


def listing(home: Home) -> list[records.OpenRun]:
    """The open runs' markers; a damaged one counts by its name alone."""
    found = []
    for run_id in sorted(run_ids(home)):
        path = _path(home, run_id)
        try:
            with open(path, encoding="utf-8") as file:
                found.append(records.OpenRun.parse(file.read()))
        except FileNotFoundError:
            continue  # Delivered meanwhile.
        except (OSError, ValueError):
            found.append(records.OpenRun(run_id, "", "", "", _written_at(path), ""))
    return found


def _path(home: Home, run_id: str) -> str:
    return os.path.join(home.open_runs, run_id)


def _written_at(path: str) -> str:
    try:
        return records.moment(os.stat(path).st_mtime)
    except OSError:
        return records.moment(0)
