"""What the run's folder holds of a step: journal, transcript, count of attempts.

Each method that does no sealing is one visit to the disk, to be made in a thread: a thread for each file took longer
than the files did.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temporalio import activity
from temporalio.api.common.v1 import Payload

from sagaflow_mcp.durable import inheriting
from sagaflow_mcp.durable.journal import Journal
from sagaflow_mcp.durable.step_events import StepEvents

if TYPE_CHECKING:
    from sagaflow_mcp.durable.attempts import Attempts
    from sagaflow_mcp.durable.context import StepContext


class StepRecord:
    """The record of a step whose result is kept with `keep`, and found again with `served`."""

    def __init__(self, step: StepContext, label: str) -> None:
        run_dir = Path(step.run_dir)
        self.step = step
        self.events = StepEvents(run_dir, step, label)
        self._journal = Journal(run_dir)
        self._key = step.key
        self._codec = step.codec.bound_to(step.run_id)

    async def inherit(self) -> None:
        """Have the result of the same step of a run that this one goes on from. OSError if it cannot be written."""
        step = self.step
        if not step.ancestors:
            return
        found = await asyncio.to_thread(inheriting.result, step.services.home, step.run_id, step.ancestors, self._key)
        if found is not None:
            opened = await step.codec.bound_to(found.run_id).decode([Payload.FromString(found.sealed)])
            (sealed,) = await self._codec.encode(opened)
            await asyncio.to_thread(self._journal.write, self._key, sealed.SerializeToString())

    def served(self) -> bytes | None:
        """The sealed result of an attempt before this one; None when there is none."""
        sealed = self._journal.read(self._key)
        if sealed is not None:
            self.events.served()
        return sealed

    def keep(self, sealed: bytes) -> None:
        """Write down that the step has this result. OSError if it cannot be written."""
        self._journal.write(self._key, sealed)
        self.events.finished()

    async def sealed(self, result: object) -> bytes:
        """The result as it is kept."""
        payloads = activity.payload_converter().to_payloads([result])
        return (await self._codec.encode(payloads))[0].SerializeToString()

    async def opened(self, sealed: bytes, hint: type | None) -> Any:
        """A result that was kept, of the type `hint` where there is one."""
        payloads = await self._codec.decode([Payload.FromString(sealed)])
        return activity.payload_converter().from_payloads(payloads, [hint] if hint else None)[0]


class AttemptRecord(StepRecord):
    """The record of one attempt at a step, which `begin` begins and `keep` ends well."""

    def __init__(self, step: StepContext, label: str, attempts: Attempts) -> None:
        super().__init__(step, label)
        self.attempts = attempts

    def begin(self, worker: str, awake_since: float, limit: int) -> bool:
        """Whether the attempt may be made; if so, it has begun.

        Args:
            worker: the identity of the worker that makes it.
            awake_since: the moment, by `attempts.now`, since which that has neither slept nor been stopped.
            limit: how many attempts may end that count; 0 for any number.

        Raises:
            OSError: it cannot be written down.
        """
        number = self.attempts.begin(worker, awake_since)
        if limit and number > limit:
            return False
        self.events.attempt = number
        self.events.started()
        return True

    def keep(self, sealed: bytes) -> None:
        """Write down that the attempt has ended with this result. OSError if it cannot be written."""
        super().keep(sealed)
        self.attempts.forget()
