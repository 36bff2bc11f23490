"""Which runs a person has paused: a file in the run's folder, which every worker looks for before it begins a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagaflow_mcp import artifacts, records

if TYPE_CHECKING:
    from pathlib import Path


def since(run_dir: Path) -> str:
    """Since when the run of the folder `run_dir` is paused (UTC, ISO 8601); empty when it is not."""
    found = artifacts.read_json(run_dir / artifacts.PAUSED)
    return "" if found is None else str(found.get("since", ""))


def put(run_dir: Path) -> bool:
    """Whether the run is paused by this call, on disk; false when it was before. OSError if it cannot be written."""
    if (run_dir / artifacts.PAUSED).exists():
        return False
    artifacts.write_json(run_dir / artifacts.PAUSED, {"since": records.now()})
    artifacts.note_event(run_dir, "run_paused")
    return True


def remove(run_dir: Path) -> bool:
    """Whether the run was paused until this call. OSError if that cannot be changed."""
    try:
        (run_dir / artifacts.PAUSED).unlink()
    except FileNotFoundError:
        return False
    artifacts.note_event(run_dir, "run_resumed")
    return True


def entry_id(run_id: str, since: str) -> str:
    """The id of the inbox entry about the pause of a run that began at `since`."""
    digits = "".join(c for c in since if c.isdigit())
    return f"{run_id}~pause{digits[2:17]}"
