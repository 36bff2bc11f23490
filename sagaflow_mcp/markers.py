"""Open-run markers: a file per run, written before the run is started and removed once its ending is delivered."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import inbox, paths, records

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home


def claim(home: Home, marker: records.OpenRun) -> bool:
    """Whether the run is now marked as open by this call, on disk; false when it was marked before.

    Raises:
        OSError: the marker cannot be written.
    """
    return paths.write_first(_path(home, marker.run_id), marker.to_json())


def find(home: Home, run_id: str) -> records.OpenRun | None:
    """The marker of the run `run_id`; None when there is none. A damaged one counts by its name alone."""
    path = _path(home, run_id)
    try:
        with open(path, encoding="utf-8") as file:
            return records.OpenRun.parse(file.read())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return records.OpenRun(run_id, "", "", "", _written_at(path), "")


def remove(home: Home, run_id: str) -> None:
    """Take the run's marker away; nothing happens when there is none."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_path(home, run_id))


def remove_until(home: Home, run_id: str, moment: str) -> None:
    """Take the run's marker away, unless it is from after `moment` (UTC, ISO 8601): the run was retried then."""
    marker = find(home, run_id)
    # Not where there is none: the one of a retry may come at this moment.
    if marker is not None and marker.age_key <= records.age_key(moment):
        remove(home, run_id)


def exists(home: Home, run_id: str) -> bool:
    """Whether the run `run_id` is marked as open; it is so for a moment after its ending was told."""
    return os.path.exists(_path(home, run_id))


def is_open(home: Home, run_id: str) -> bool:
    """Whether the run `run_id` is marked as open, and goes on."""
    # The marker first: of a run that was retried, and ends again at this moment, the ending would be the one before.
    return exists(home, run_id) and goes_on(home, run_id, _read(home, run_id, "ending.json"))


def goes_on(home: Home, run_id: str, ending: dict[str, Any]) -> bool:
    """Whether the run, marked as open and with this ending (empty for none), was retried, or its ending is not told."""
    is_retried = is_since(home, run_id, str(ending.get("closed_at", "")))
    return is_retried or not inbox.has(home, str(ending.get("entry_id", "")))


def is_since(home: Home, run_id: str, moment: str) -> bool:
    """Whether the run `run_id` is marked as open since after `moment` (UTC, ISO 8601): it was retried then."""
    marker = find(home, run_id)
    return marker is not None and marker.age_key > records.age_key(moment)


def was_launched(home: Home, run_id: str) -> bool:
    """Whether there is or was a run `run_id`."""
    return exists(home, run_id) or os.path.exists(os.path.join(home.run(run_id), "ending.json"))


def after(closed_at: str, moment: str) -> str:
    """`moment`, or the time just after `closed_at` where that is later: when a run is marked that had ended then.

    By it the marker is told from that of a run whose ending is being delivered.

    Raises:
        ValueError: one of the two is no time in ISO 8601.
    """
    from datetime import datetime, timedelta  # noqa: PLC0415 - a hook that imports this module would pay for it

    began, ended = (datetime.fromisoformat(each.replace("Z", "+00:00")) for each in (moment, closed_at))
    return max(began, ended + timedelta(milliseconds=1)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def run_ids(home: Home) -> set[str]:
    """The ids of the marked runs."""
    return {name for name in os.listdir(home.open_runs) if records.is_run_id(name)}


def listing(home: Home) -> list[records.OpenRun]:
    """The markers, by run id; those removed meanwhile are left out."""
    found = [find(home, run_id) for run_id in sorted(run_ids(home))]
    return [marker for marker in found if marker is not None]


def server(home: Home, run_id: str, otherwise: str) -> str:
    """The label of the Temporal server that the open run was started on; `otherwise` where its files do not say.

    Such a run goes on only there.
    """
    return str(_read(home, run_id, "run.json").get("temporal", otherwise))


def launcher(home: Home, run_id: str) -> str:
    """The key of the Claude Code process that launched the run, open or ended; empty where its files name none."""
    # The marker first: it is written before the folder. One that was made anew need not name it.
    marker = find(home, run_id)
    return (marker.launcher if marker else "") or str(_read(home, run_id, "run.json").get("launcher", ""))


def _read(home: Home, run_id: str, name: str) -> dict[str, Any]:
    """What a file of the run's folder says; empty where that cannot be read."""
    try:
        with open(os.path.join(home.run(run_id), name), encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def counted(count: int) -> str:
    """So many open runs, in words."""
    return f"{count} open run{'' if count == 1 else 's'}"


def _path(home: Home, run_id: str) -> str:
    return os.path.join(home.open_runs, run_id)


def _written_at(path: str) -> str:
    try:
        return records.moment(os.stat(path).st_mtime)
    except OSError:
        return records.moment(0)
