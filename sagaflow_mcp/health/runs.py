"""Open runs that do not move, and signs that the clock was set back."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import markers, processes, records, runs, wording
from sagaflow_mcp.errors import SagaflowError
from sagaflow_mcp.health._check import Check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagaflow_mcp.faces import Face
    from sagaflow_mcp.runs import Run
    from sagaflow_mcp.settings import Settings

MOST = 200
"""How many open runs are looked at, the oldest first."""

TRIES = 3
"""So many attempts at a step that have all failed are more than bad luck."""

UNRECORDED_SECONDS = 120.0
"""How old a marker without a record of its run is before it belongs to nothing."""

AHEAD_SECONDS = 300.0
"""A file that is so much younger than the present was written before the clock was set back."""


def open_runs(settings: Settings, face: Face) -> Iterator[Check]:
    """The open runs that are paused, whose steps fail again and again, or that nothing is known of."""
    paused: list[str] = []
    for marker in sorted(markers.listing(settings.home), key=lambda each: each.age_key)[:MOST]:
        try:
            run = runs.get(settings.home, marker.run_id)
        except SagaflowError:
            continue  # It has ended meanwhile.
        if run.is_damaged and runs.seconds_since(marker.created_at) > UNRECORDED_SECONDS:
            finding = f"{run.run_id} is marked as open, but what it runs is not written down in {run.run_dir!r}"
            is_up = processes.Place(settings.home.engine, "engine").alive()
            yield Check("runs", "warn", finding, face.end_run.format(run_id=run.run_id) if is_up else face.start_engine)
        elif run.state == "PAUSED":
            paused.append(run.run_id)
        elif run.progress.failed_in_a_row >= TRIES:
            yield _not_getting_on(run, face)
    if paused:
        finding = (
            f"{markers.counted(len(paused))} {'is' if len(paused) == 1 else 'are'} paused: {', '.join(paused[:5])}"
        )
        yield Check("runs", "info", finding, face.resume_run.format(run_id=paused[0]))


def _not_getting_on(run: Run, face: Face) -> Check:
    error = records.one_line(run.progress.last_error, 200)
    finding = f"{run.run_id} does not get on: {run.progress.failed_in_a_row} attempts have failed, the last: {error}"
    cure = f"put that right, and it goes on; or {face.end_run.format(run_id=run.run_id)}"
    return Check("runs", "warn", finding, cure)


def clock(settings: Settings, _face: Face) -> Iterator[Check]:
    """Whether something of the home is from the future."""
    home = settings.home
    ahead = max((_ahead(Path(folder)) for folder in (home.open_runs, home.runs, f"{home.inbox}/new")), default=0.0)
    if ahead > AHEAD_SECONDS:
        finding = f"a run was written down {wording.duration(ahead)} from now: the clock was set back since"
        yield Check(
            "clock", "warn", finding, "set it right: waiting runs take its time, and so does the order of results"
        )
    else:
        yield Check("clock", "ok", f"{records.moment(time.time())}, nothing in the home is younger")


def _ahead(folder: Path) -> float:
    """By how many seconds the youngest file in `folder` is younger than now."""
    youngest = 0.0
    for entry in os.scandir(folder):
        with contextlib.suppress(FileNotFoundError):  # It was removed meanwhile.
            youngest = max(youngest, entry.stat(follow_symlinks=False).st_mtime)
    return youngest - time.time()
