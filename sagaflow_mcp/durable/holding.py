"""The gate that every step of a run goes through, and that is shut while a person has paused the run.

It keeps workflow code from beginning a step. Those that wait for a worker or for their next attempt are none of the
workflow's any more: the worker holds them, by the file that says the same (`pauses`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from temporalio import workflow

if TYPE_CHECKING:
    from collections.abc import Callable

HOLD = "sagaflow_hold"
"""The update by which a run is paused and resumed, and the signal that tells its children."""

BOOKKEEPING = frozenset({"close_question", "is_retried"})
"""What a paused run does all the same: it takes back what it asked, and looks where it is."""


class Gate:
    """That of one workflow."""

    def __init__(self, *, is_shut: bool) -> None:
        self.is_shut = is_shut
        """Whether the run is paused."""

    def hold(self, *, shut: bool) -> bool:
        """Shut or open it; whether it was not so before."""
        changed = shut != self.is_shut
        self.is_shut = shut
        return changed

    async def passed(self) -> None:
        """Return once a step may begin. A run that is cancelled may clean up, paused or not."""
        await workflow.wait_condition(lambda: not self.holds)

    @property
    def holds(self) -> bool:
        """Whether no step may begin now."""
        return self.is_shut and workflow.cancellation_reason() is None

    def later(self, start: Callable[[], workflow.ActivityHandle[Any]]) -> workflow.ActivityHandle[Any]:
        """A handle of the activity that `start` starts once it may begin."""

        async def started() -> Any:
            """The activity's result."""
            await self.passed()
            return await start()

        # To the SDK, too, a handle is a task; its class only adds names to one.
        return cast("workflow.ActivityHandle[Any]", asyncio.ensure_future(started()))
