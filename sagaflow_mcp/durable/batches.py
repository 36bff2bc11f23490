"""Prompts that many lanes ask at the same moment, put to the model in one step where it answers at once.

A step of Temporal's takes longer than the reply of a cache or of a model on this machine, and leaves three events in
the run's history. A model that takes its time is asked in a step per prompt.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import FailureError

from sagaflow_mcp.durable.prompt_activities import PromptsInput

if TYPE_CHECKING:
    from sagaflow_mcp.durable.prompt_activities import PromptInput

AT_ONCE_SECONDS = 0.25
"""A model answers at once when its reply takes no longer; no model that thinks is as quick."""

FEWEST, MOST = 8, 64
"""How many prompts make a batch. Fewer are not worth it: a kill costs more in the middle of a workflow task."""

TIMEOUT = timedelta(seconds=30)
"""How long a batch may take; it waits for no reply longer than `prompt_activities.BATCH_SECONDS`."""

IN_A_TASK = 10
"""Batches in one workflow task, which then ends: until it does, no signal or cancellation gets through."""


class Batches:
    """The prompts of one execution that are asked in batches, for as long as the model answers at once."""

    def __init__(self) -> None:
        self._is_on = False
        self._waiting: list[tuple[PromptInput, asyncio.Future[str | None]]] = []
        self._asking: set[asyncio.Task[None]] = set()
        self._count = 0

    def learn(self, seconds: float | None) -> None:
        """Heed how long the reply to a prompt that was asked by itself has taken; None where it is not to count."""
        self._is_on = seconds is not None and seconds <= AT_ONCE_SECONDS

    async def text(self, given: PromptInput) -> str | None:
        """The reply's text; None when the prompt is to be asked in a step of its own."""
        if not self._is_on:
            return None
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((given, future))
        if len(self._waiting) % MOST == 1:
            # It runs after every lane that is about to go on in this moment.
            task = asyncio.ensure_future(self._ask())
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        return await future

    async def _ask(self) -> None:
        batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        texts: list[str | None] = [None] * len(batch)
        try:
            if len(batch) >= FEWEST:
                texts = await _asked([given for given, _ in batch])
                self._is_on = None not in texts
                self._count += 1
                if self._count % IN_A_TASK == 0:
                    await asyncio.sleep(0.001)
        finally:
            for (_, future), text in zip(batch, texts, strict=True):
                if not future.done():
                    future.set_result(text)


async def _asked(prompts: list[PromptInput]) -> list[str | None]:
    """The reply to each that came at once."""
    try:
        texts: list[str | None] = await workflow.execute_local_activity(
            "prompt_batch",
            PromptsInput(prompts),
            start_to_close_timeout=TIMEOUT,
            retry_policy=RetryPolicy(maximum_attempts=1),
            result_type=list[str | None],
        )
    except FailureError:
        return [None] * len(prompts)
    return texts
