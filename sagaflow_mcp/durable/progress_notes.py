"""What a run says of its progress, written down often enough to be of use and seldom enough to cost nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from temporalio import workflow

from sagaflow_mcp.durable.function_activities import NoteProgressInput

if TYPE_CHECKING:
    from temporalio.workflow import ActivityHandle

INTERVAL = timedelta(seconds=2)
"""The shortest time between two notes of one phase: each is an event in the run's history."""

TIMEOUT = timedelta(seconds=30)


class ProgressNotes:
    """Those of one execution."""

    def __init__(self) -> None:
        self._now = NoteProgressInput()
        self._noted_at: datetime | None = None
        self._last: ActivityHandle[None] | None = None

    def phase(self, name: str) -> None:
        """A new phase begins."""
        self._now = NoteProgressInput(phase=name)
        self._note()

    def progress(self, done: int, total: int, note: str) -> None:
        """So far it has come. The first and the last of a phase are always noted."""
        is_first = not self._now.total
        self._now = NoteProgressInput(self._now.phase, done, total, note)
        is_due = self._noted_at is None or workflow.now() - self._noted_at >= INTERVAL
        if is_first or is_due or done >= total:
            self._note()

    async def settled(self) -> None:
        """Return once the last note is written, or cannot be: that is no reason to fail."""
        if self._last is not None:
            await workflow.wait([self._last])

    def _note(self) -> None:
        self._noted_at = workflow.now()
        # Not waited for, so that saying how far one is holds nothing up.
        self._last = workflow.start_activity("note_progress", self._now, start_to_close_timeout=TIMEOUT)
