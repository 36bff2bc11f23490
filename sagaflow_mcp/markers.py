"""Open-run markers: a file per run whose ending has not been delivered, written before the run is started."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import paths, records

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home


def write(home: Home, marker: records.OpenRun) -> None:
    """Mark a run as open; on disk when this returns. OSError if it cannot be written."""
    paths.write_atomically(str(Path(home.open_runs) / marker.run_id), marker.to_json())


def remove(home: Home, run_id: str) -> None:
    """Take the run's marker away; nothing happens when there is none."""
    (Path(home.open_runs) / run_id).unlink(missing_ok=True)


def exists(home: Home, run_id: str) -> bool:
    """Whether the run `run_id` is marked as open."""
    return (Path(home.open_runs) / run_id).exists()


def run_ids(home: Home) -> set[str]:
    """The ids of the open runs."""
    return {entry.name for entry in os.scandir(home.open_runs) if not entry.name.endswith(".tmp")}


def listing(home: Home) -> list[records.OpenRun]:
    """The open runs' markers; a damaged one counts by its name alone."""
    found = []
    for run_id in sorted(run_ids(home)):
        path = Path(home.open_runs) / run_id
        try:
            found.append(records.OpenRun.parse(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            continue  # Delivered meanwhile.
        except (OSError, ValueError):
            found.append(records.OpenRun(run_id, "", "", "", _written_at(path), ""))
    return found


def _written_at(path: Path) -> str:
    try:
        return records.moment(path.stat().st_mtime)
    except OSError:
        return records.moment(0)
