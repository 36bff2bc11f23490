"""How far a run says that it has come, written down seldom enough to cost nothing, and shown at once."""

from __future__ import annotations

import contextlib
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from temporalio import workflow

from sagaflow_mcp.durable import run_state
from sagaflow_mcp.durable.function_activities import NoteProgressInput, put_progress

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
        self._now = NoteProgressInput(phase=name, number=self._now.number + 1)
        self._note()

    def progress(self, done: int, total: int, note: str) -> None:
        """So far it has come. The first and the last of a phase are always noted."""
        is_first = not self._now.total
        self._now = NoteProgressInput(self._now.phase, done, total, note, self._now.number + 1)
        is_due = self._noted_at is None or workflow.now() - self._noted_at >= INTERVAL
        if is_first or is_due or done >= total:
            self._note()
        else:
            _show(self._now)

    async def settled(self) -> None:
        """Return once the last note is written, or cannot be: that is no reason to fail."""
        if self._last is not None:
            await workflow.wait([self._last])

    def _note(self) -> None:
        self._noted_at = workflow.now()
        # Not waited for, so that saying how far one is holds nothing up.
        self._last = workflow.start_activity("note_progress", self._now, start_to_close_timeout=TIMEOUT)


def _show(now: NoteProgressInput) -> None:
    """Have it seen, without an event in the history: it may be a while until the run says something again."""
    envelope = run_state.current().envelope
    # A child does not know its run's folder, nor does another machine. What is not shown here is so with the next note.
    if workflow.unsafe.is_replaying() or envelope.get("folder"):
        return
    run_dir = Path(str(envelope.get("run_dir", "")))
    with workflow.unsafe.sandbox_unrestricted(), contextlib.suppress(OSError):
        put_progress(run_dir, now, workflow.info().run_id, is_lasting=False)
