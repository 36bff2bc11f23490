"""What the run's folder holds of one attempt at a step: journal, count of attempts, transcript.

Each method is one visit to the disk, to be made in a thread: a thread for each file took longer than the files did.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp.durable.journal import Journal
from sagaflow_mcp.durable.step_events import StepEvents

if TYPE_CHECKING:
    from sagaflow_mcp.durable.attempts import Attempts
    from sagaflow_mcp.durable.context import StepContext


class StepRecord:
    """The record of one attempt, which `begin` begins and `keep` ends well."""

    def __init__(self, step: StepContext, label: str, attempts: Attempts) -> None:
        run_dir = Path(step.run_dir)
        self.attempts = attempts
        self.events = StepEvents(run_dir, step, label)
        self._journal = Journal(run_dir)
        self._key = step.key

    def served(self) -> bytes | None:
        """The sealed result of an attempt before this one; None when there is none."""
        sealed = self._journal.read(self._key)
        if sealed is not None:
            self.events.served()
        return sealed

    def begin(self, worker: str, limit: int) -> bool:
        """Whether the attempt may be made; if so, it has begun.

        Args:
            worker: the identity of the worker that makes it.
            limit: how many attempts may end that count; 0 for any number.

        Raises:
            OSError: it cannot be written down.
        """
        number = self.attempts.begin(worker)
        if limit and number > limit:
            return False
        self.events.attempt = number
        self.events.started()
        return True

    def keep(self, sealed: bytes) -> None:
        """Write down that the attempt has ended with this result. OSError if it cannot be written."""
        self._journal.write(self._key, sealed)
        self.events.finished()
        self.attempts.forget()
