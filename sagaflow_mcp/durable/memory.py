"""What a run of a function has done so far, so that it can go on in a new execution where its history gets long.

Temporal keeps at most some ten thousand events of one execution. A function cannot be continued in its middle, so the
new execution calls it again from the beginning, and what was done already is remembered instead of done again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import uuid
from collections import Counter
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    FailureError,
    is_cancelled_exception,
)

from sagaflow_mcp.durable import places, run_state

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

BREATH = 200
"""After how many remembered answers a workflow pauses: one that computes for 2 s is a deadlock to Temporal."""

_LANE: ContextVar[str] = ContextVar("sagaflow_lane", default="")
"""The place in the run that the current task works for, such as the 17th item of a map."""


class StepFailedError(ApplicationError):
    """A step that has failed for good; its message is the reason."""


class Memory:
    """What was done, by key. A key is made of the place in the run and of what was asked."""

    def __init__(self, carried: dict[str, Any]) -> None:
        """Go on with what an execution before has `carried`; empty for a first one."""
        self._seed: str = carried.get("seed") or workflow.uuid4().hex
        self._done: dict[str, Any] = carried.get("done") or {}
        self._deadlines: dict[str, str] = carried.get("deadlines") or {}
        self._counts: Counter[str] = Counter()
        self._in_flight = 0
        self._is_full = False
        self._recalled = 0

    def carried(self) -> dict[str, Any]:
        """What the next execution needs."""
        return {"seed": self._seed, "done": self._done, "deadlines": self._deadlines}

    @property
    def has_failures(self) -> bool:
        """Whether something has failed."""
        return any("failed" in each for each in self._done.values())

    def forget_failures(self) -> None:
        """Do again, when it is asked for, what has failed."""
        self._done = {key: each for key, each in self._done.items() if "failed" not in each}

    async def full(self) -> None:
        """Return once this execution should end and nothing is in flight: then another can go on."""
        questions = run_state.current().questions
        await workflow.wait_condition(lambda: self._is_full and not self._in_flight and questions.is_settled)

    def key(self, kind: str, content: object) -> str:
        """The key of the next call of that kind and content from the current place."""
        text = json.dumps([_LANE.get(), kind, content], sort_keys=True, default=str)
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
        self._counts[digest] += 1
        return f"{digest}.{self._counts[digest]}"

    def lane(self, kind: str) -> str:
        """A place of its own in the current one, for a group of lanes."""
        return f"{_LANE.get()}/{self.key(kind, '')}"

    async def once(self, key: str, act: Callable[[], Awaitable[Any]], *, is_waiting: bool = False) -> Any:
        """What `act` returns, as JSON can hold it; a second time it is remembered.

        Args:
            key: of this call.
            act: does it.
            is_waiting: whether it can be left and taken up again, so that it holds up no continuation.

        Raises:
            StepFailedError: it has failed, now or when it was done.
        """
        if key not in self._done:
            if not is_waiting:
                await self._may_start()
            self._in_flight += not is_waiting
            try:
                self._done[key] = {"value": await act()}
            except (ActivityError, ApplicationError, ChildWorkflowError) as error:
                if is_cancelled_exception(error):
                    raise
                self._done[key] = {"failed": [*_told(error), places.of(error)]}
            finally:
                self._in_flight -= not is_waiting
        else:
            await self._breathe()
        found = self._done[key]
        if "failed" in found:
            # Of an older version's there is no place.
            message, kind, *where = found["failed"]
            at = [places.Place(*each) for each in (where[0] if where else ())]
            raise StepFailedError(message, *places.details(at), type=kind, non_retryable=True)
        return found["value"]

    def recall(self, key: str, make: Callable[[], Any]) -> Any:
        """What `make` has returned the first time."""
        if key not in self._done:
            self._done[key] = {"value": make()}
        return self._done[key]["value"]

    def deadline(self, key: str, limit: timedelta) -> timedelta:
        """What is left of `limit`, which began with the first call of that key."""
        now = workflow.now()
        end = datetime.fromisoformat(self._deadlines.setdefault(key, (now + limit).isoformat()))
        return max(end - now, timedelta(0))

    def random(self) -> random.Random:
        """A source of numbers of its own for each call, the same in each execution."""
        return random.Random(f"{self._seed} {self.key('random', '')}")  # noqa: S311 - repeatable is what it must be

    async def _may_start(self) -> None:
        """Wait where another execution is to go on: for ever, since this one then ends."""
        if workflow.info().is_continue_as_new_suggested():
            self._is_full = True
        if self._is_full:
            await workflow.wait_condition(lambda: False)

    async def _breathe(self) -> None:
        self._recalled += 1
        if self._recalled % BREATH == 0:
            await asyncio.sleep(0.001)


def enter(lane: str) -> None:
    """Make `lane` the place that the current task works for."""
    _LANE.set(lane)


def uuid_of(source: random.Random) -> uuid.UUID:
    """A version 4 UUID from `source`."""
    return uuid.UUID(int=source.getrandbits(128), version=4)


def _told(error: FailureError) -> list[str]:
    """The innermost reason of a failure, and its type."""
    inner: BaseException = error
    while isinstance(inner, FailureError) and isinstance(inner.cause, FailureError):
        inner = inner.cause
    kind = inner.type if isinstance(inner, ApplicationError) else type(inner).__name__
    return [inner.message if isinstance(inner, FailureError) else str(inner), kind or "StepFailed"]
