"""The model calls of a worker: how many at a time, and those that go on while no step waits for them.

A step that asks many prompts at once waits for none of them long; what is not there by then is another step's to wait
for. In between, the call goes on by itself: asked again, it would be paid for twice.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from sagaflow_mcp.models import ModelReply

KEPT_SECONDS = 60.0
"""How long a call that has ended is kept for a step to come; the run may have been cancelled meanwhile."""


class Calls:
    """The calls of a worker. Belongs to one event loop.

    Args:
        limit: how many may be under way at the same time.
    """

    def __init__(self, limit: int) -> None:
        self.slots = asyncio.Semaphore(limit)
        """Held while a call is under way."""
        self._calls: dict[tuple[str, str], asyncio.Task[ModelReply]] = {}

    def begin(self, of: tuple[str, str], call: Coroutine[Any, Any, ModelReply]) -> asyncio.Task[ModelReply]:
        """Begin a call that no step need wait for, or find the one that goes on already.

        Args:
            of: the id of the workflow and the key of the prompt that the call is for.
            call: it.
        """
        if of in self._calls:
            call.close()
            return self._calls[of]
        task = self._calls[of] = asyncio.create_task(call)
        task.add_done_callback(lambda _: asyncio.get_running_loop().call_later(KEPT_SECONDS, self._forget, of, task))
        return task

    def take(self, of: tuple[str, str]) -> asyncio.Task[ModelReply] | None:
        """The call, which from now on is the caller's alone; None when there is none."""
        return self._calls.pop(of, None)

    def end(self, workflow_id: str) -> None:
        """End the calls of a run that is over, and of its children: nobody takes their replies."""
        for of, task in list(self._calls.items()):
            if of[0] == workflow_id or of[0].startswith(f"{workflow_id}/"):
                task.cancel()

    def _forget(self, of: tuple[str, str], task: asyncio.Task[ModelReply]) -> None:
        if self._calls.get(of) is task:
            del self._calls[of]
        if not task.cancelled():
            task.exception()  # Asked for, or the event loop reports it as lost.
