"""What the inbox says of schedules themselves: launches that were missed, skipped, or could not be."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sagaflow_mcp import durations, inbox, notify, records, schedule_files, schedule_server

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagaflow_mcp.schedule_files import Schedule
    from sagaflow_mcp.settings import Settings

SHOWN_TIMES = 10
"""How many missed times an entry names."""


def deliver(settings: Settings, entry: records.Entry) -> None:
    """Have `entry` in the inbox, and shown by the system the first time. As `inbox.deliver`."""
    if inbox.deliver(settings.home, entry):
        notify.show(settings, entry)


def missed(schedule: Schedule, stamps: Sequence[str]) -> records.Entry:
    """One for all that was due at `stamps`, the earliest first."""
    count = f"{len(stamps)} launches were" if len(stamps) > 1 else "a launch was"
    shown = [_time(stamp) for stamp in stamps]
    more = f"{', '.join(shown[:SHOWN_TIMES])}{' … ' + shown[-1] if len(shown) > SHOWN_TIMES else ''}"
    window = durations.shown(timedelta(seconds=schedule.catch_up_seconds))
    said = (
        f"schedule {schedule.name!r} ({schedule.skill}): {count} missed, due at {more} UTC; no engine was up "
        f"within {window} of that, its catch-up window"
    )
    tail = f"m{stamps[0]}{len(stamps)}".replace("-", "")
    return _entry(schedule, f"schedule.{schedule.name}", tail, "NOTE", said)


def skipped(schedule: Schedule, stamp: str, busy: str) -> records.Entry:
    """One for each run, `busy`, that is in the way, however often."""
    said = f"{_due(schedule, stamp)} is skipped, and what is due next as well, until run {busy} has ended"
    tail = "s" + busy[-15:].replace("-", "")
    return _entry(schedule, f"schedule.{schedule.name}", tail, "NOTE", said)


def failed(schedule: Schedule, stamp: str, reason: str) -> records.Entry:
    """One for a launch that was refused, or came to nothing."""
    said = f"{_due(schedule, stamp)} could not be launched: {reason}"
    return _entry(schedule, schedule_files.due_run_id(schedule.name, stamp), "launch", "FAILED", said)


def _due(schedule: Schedule, stamp: str) -> str:
    return f"schedule {schedule.name!r} ({schedule.skill}), due at {_time(stamp)} UTC,"


def _time(stamp: str) -> str:
    return f"{schedule_server.moment(stamp):%Y-%m-%d %H:%M:%S}"


def _entry(schedule: Schedule, run_id: str, tail: str, status: str, summary: str) -> records.Entry:
    return records.Entry(
        entry_id=f"{run_id}~{tail}",
        run_id=run_id,
        skill=schedule.skill,
        status=status,
        summary=records.one_line(summary, inbox.SUMMARY_LIMIT),
        created_at=records.now(),
        project_dir=schedule.project_dir,
    )
