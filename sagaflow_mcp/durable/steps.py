"""What is done around every activity: the run it works for, the journal, the count of attempts, the transcript."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from sagaflow_mcp import artifacts, records, temporal
from sagaflow_mcp.durable import context, interceptors, journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagaflow_mcp.sealing import SealingCodec

WORKER_DIED = "WorkerDied"
"""The failure type that recovery gives to activities of a worker that is dead. It does not count as an attempt."""

DISK_SECONDS = 2.0
"""Between two attempts to write a result to a disk that is full."""

UNCOUNTED = frozenset({WORKER_DIED, context.NO_CREDENTIALS})
"""Failure types of attempts that a retry policy does not count: they are no fault of the step."""


class SagaflowInterceptor(Interceptor):
    """Both halves of what Sagaflow does around a skill's code."""

    def __init__(self, services: context.Services, codec: SealingCodec, on_step: Callable[[], None]) -> None:
        self._services = services
        self._codec = codec
        self._on_step = on_step

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """The activity half."""
        return _StepInbound(next, self._services, self._codec, self._on_step)

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: ARG002 - the base class's signature
    ) -> type[WorkflowInboundInterceptor]:
        """The workflow half."""
        return interceptors.RunInbound


class _StepInbound(ActivityInboundInterceptor):
    def __init__(
        self,
        next: ActivityInboundInterceptor,
        services: context.Services,
        codec: SealingCodec,
        on_step: Callable[[], None],
    ) -> None:
        super().__init__(next)
        self._services = services
        self._codec = codec
        self._on_step = on_step
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        info = activity.info()
        head = temporal.read_header(input.headers, "step", info.workflow_id or "")
        if head is None:
            interceptors.refusals.warning("step not sealed by this home", extra={"workflow_id": info.workflow_id})
            raise interceptors.refused("this step was not sealed by the run's home")
        step = context.StepContext(
            services=self._services,
            run_id=head["run_id"],
            skill=head["skill"],
            project_dir=head["project_dir"],
            key=head["key"],
        )
        context.enter(step)
        if info.is_local:
            return await super().execute_activity(input)
        try:
            # One attempt at a time: where heartbeats stopped for a while, Temporal has begun the next one meanwhile.
            async with self._turns.setdefault((step.run_id, step.key), asyncio.Lock()):
                return await self._journalled(input, step, head)
        finally:
            self._on_step()

    async def _journalled(self, input: ExecuteActivityInput, step: context.StepContext, head: dict[str, Any]) -> Any:
        """The step's result: the journal's, else that of one attempt, which the journal then has."""
        run_dir = Path(step.run_dir)
        kept = journal.Journal(run_dir)
        sealed = await asyncio.to_thread(kept.read, step.key)
        if sealed is not None:
            artifacts.append_event(run_dir, "step_served", step=step.key, label=head["label"])
            return await self._opened(sealed, step, typing.get_type_hints(input.fn).get("return"))
        info = activity.info()
        series = journal.attempt_series(info.workflow_run_id or "", info.activity_id)
        attempt = max(1, info.attempt - await asyncio.to_thread(kept.uncounted, series))
        if head["attempts"] and attempt > head["attempts"]:
            raise ApplicationError(
                f"gave up after {head['attempts']} attempts that did not answer in time", non_retryable=True
            )
        events = _StepEvents(run_dir, step, head["label"], attempt)
        events.started()
        try:
            result = await super().execute_activity(input)
            sealed = await self._sealed(result, step)
        except asyncio.CancelledError:
            events.cancelled()
            raise
        except activity._CompleteAsyncError:  # noqa: SLF001 - the SDK has no public name for it
            raise
        except Exception as error:
            events.failed(error)
            if isinstance(error, ApplicationError) and error.type in UNCOUNTED:
                await asyncio.to_thread(kept.add_uncounted, series)
            elif head["attempts"] and attempt >= head["attempts"]:
                raise _last_attempt(error) from error.__cause__
            raise
        except BaseException as error:  # noqa: BLE001 - as the next line says
            # sys.exit() in a step, say. It must not leave the worker's event loop, and would do the same again.
            events.failed(error)
            raise _last_attempt(error) from None
        await _kept(kept, step.key, sealed, events)
        events.finished()
        return result

    async def _sealed(self, result: object, step: context.StepContext) -> bytes:
        payloads = activity.payload_converter().to_payloads([result])
        return (await self._bound_codec(step).encode(payloads))[0].SerializeToString()

    async def _opened(self, sealed: bytes, step: context.StepContext, hint: type | None) -> Any:
        payloads = await self._bound_codec(step).decode([Payload.FromString(sealed)])
        return activity.payload_converter().from_payloads(payloads, [hint] if hint else None)[0]

    def _bound_codec(self, step: context.StepContext) -> SealingCodec:
        return self._codec.bound_to(step.run_id)


async def _kept(kept: journal.Journal, key: str, sealed: bytes, events: _StepEvents) -> None:
    """Write the result down, and try again while the disk is full: it has been paid for."""
    while True:
        try:
            await asyncio.to_thread(kept.write, key, sealed)
        except OSError as error:
            events.failed(error)
            activity.heartbeat()
            await asyncio.sleep(DISK_SECONDS)
        else:
            return


def _last_attempt(error: BaseException) -> ApplicationError:
    """`error` as one that is not retried."""
    if isinstance(error, ApplicationError):
        return ApplicationError(error.message, *error.details, type=error.type, non_retryable=True)
    return ApplicationError(str(error) or type(error).__name__, type=type(error).__name__, non_retryable=True)


@dataclasses.dataclass
class _StepEvents:
    """The transcript lines of one attempt."""

    run_dir: Path
    step: context.StepContext
    label: str
    attempt: int
    began: float = 0.0

    def started(self) -> None:
        self.began = time.monotonic()
        self._append("step_started")

    def finished(self) -> None:
        tokens = [
            {
                "model": reply.model,
                "input": reply.input_tokens,
                "output": reply.output_tokens,
                "cache_read": reply.cache_read_tokens,
                "cache_creation": reply.cache_creation_tokens,
            }
            for reply in self.step.replies
        ]
        self._append("step_finished", seconds=self._seconds(), tokens=tokens)

    def failed(self, error: BaseException) -> None:
        why = records.one_line(str(error) or type(error).__name__)
        with contextlib.suppress(OSError):  # The disk may be what is wrong.
            self._append("step_failed", seconds=self._seconds(), error=why)

    def cancelled(self) -> None:
        self._append("step_cancelled", seconds=self._seconds())

    def _seconds(self) -> float:
        return round(time.monotonic() - self.began, 3)

    def _append(self, event: str, **fields: object) -> None:
        key, label = self.step.key, self.label
        artifacts.append_event(self.run_dir, event, step=key, label=label, attempt=self.attempt, **fields)
