"""The workflow and the activity that a step of ours is measured against: the SDK's defaults, nothing around them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio import activity, workflow


@activity.defn
async def nothing() -> None:
    """A step without work."""


@workflow.defn
class BareLanes:
    """Takes empty steps, so many at a time."""

    @workflow.run
    async def run(self, queue: str, count: int, lanes: int) -> None:
        """Take `count` steps on `queue` in `lanes` lanes."""
        numbers = iter(range(count))

        async def lane() -> None:
            """Take steps as long as there are any."""
            for _ in numbers:
                await workflow.execute_activity(nothing, task_queue=queue, start_to_close_timeout=timedelta(seconds=10))

        await asyncio.gather(*(lane() for _ in range(lanes)))


@workflow.defn
class BareSteps:
    """Takes empty steps, one after another."""

    @workflow.run
    async def run(self, queue: str, count: int) -> None:
        """Take `count` steps on `queue`."""
        for _ in range(count):
            await workflow.execute_activity(nothing, task_queue=queue, start_to_close_timeout=timedelta(seconds=10))
