"""What is done around every activity: the run it works for, the journal, the count of attempts, the transcript."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import typing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from sagaflow_mcp import environments, temporal
from sagaflow_mcp.durable import context, interceptors, model_calls, persisting
from sagaflow_mcp.durable.attempts import Attempts, now, took_too_long
from sagaflow_mcp.durable.step_record import AttemptRecord
from sagaflow_mcp.failures import carriable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from sagaflow_mcp.sealing import SealingCodec

WORKER_DIED = "WorkerDied"
"""The failure type that recovery gives to activities of a worker that is dead. It does not count as an attempt."""

SUSPICIOUS = 2
"""Worker deaths during one step after which it may be their cause. From then on such steps run one at a time, so that
the next death has only one of them to blame: all that are in flight die with a worker, however innocent."""

NOT_YET = "NotYet"
"""The failure type of an attempt that another suspicious step goes before. It is no attempt at all."""

TASKS_FIRST_SECONDS = 15.0
"""How long suspicious steps wait for suspicious workflow tasks: longer than Temporal does for one that was lost."""

TURN = timedelta(seconds=1)
"""The pause before a suspicious step asks again whether it is its turn. Temporal waits, so that no timeout runs."""

UNCOUNTED = frozenset({WORKER_DIED, context.NO_CREDENTIALS, context.PAUSED})
"""Failure types of attempts that a retry policy does not count: they are no fault of the step."""


class SagaflowInterceptor(Interceptor):
    """Both halves of what Sagaflow does around a skill's code."""

    def __init__(self, services: context.Services, codec: SealingCodec, on_step: Callable[[], None]) -> None:
        self._services = services
        self._codec = codec
        self._on_step = on_step
        self._suspicious = _Suspicious()

    def try_tasks_first(self) -> None:
        """Let no suspicious step begin until the workflow tasks in which workers died have had time to be tried."""
        self._suspicious.not_before = asyncio.get_running_loop().time() + TASKS_FIRST_SECONDS

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """The activity half."""
        return _StepInbound(next, self._services, self._codec, self._on_step, self._suspicious)

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: ARG002 - the base class's signature
    ) -> type[WorkflowInboundInterceptor]:
        """The workflow half."""
        return interceptors.RunInbound


class _Suspicious:
    """The steps in which workers have died before: they run one at a time."""

    def __init__(self) -> None:
        self.not_before = 0.0
        """When they may begin to, by the event loop's clock."""
        self._turn = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Run the body with no other of them; ApplicationError, to come again later, where it is not its turn."""
        if self._turn.locked() or asyncio.get_running_loop().time() < self.not_before:
            raise ApplicationError(
                "workers have died in this step and in others; they are tried one after another",
                type=NOT_YET,
                next_retry_delay=TURN,
            )
        async with self._turn:
            yield


class _StepInbound(ActivityInboundInterceptor):
    def __init__(
        self,
        next: ActivityInboundInterceptor,
        services: context.Services,
        codec: SealingCodec,
        on_step: Callable[[], None],
        suspicious: _Suspicious,
    ) -> None:
        super().__init__(next)
        self._services = services
        self._codec = codec
        self._on_step = on_step
        self._suspicious = suspicious
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
            codec=self._codec,
            folder=head.get("folder", ""),
            label=head["label"],
            scope=head.get("scope", ""),
            ancestors=tuple(head.get("ancestors", ())),
        )
        context.enter(step)
        try:
            if info.is_local:
                return await self._performed(input)
            # One attempt at a time: where heartbeats stopped for a while, Temporal has begun the next one meanwhile.
            async with self._turns.setdefault((step.run_id, step.key), asyncio.Lock()):
                return await self._journalled(input, step, head)
        except Exception as error:
            told = carriable(error)
            if told is error:
                raise
            raise told from None
        finally:
            if not info.is_local:
                self._on_step()

    async def _journalled(self, input: ExecuteActivityInput, step: context.StepContext, head: dict[str, Any]) -> Any:
        """The step's result: the journal's, else that of one attempt, which the journal then has."""
        info = activity.info()
        attempts = Attempts(Path(step.run_dir), info.workflow_run_id or "", info.activity_id)
        record, limit = AttemptRecord(step, head["label"], attempts), head["attempts"]
        await record.inherit()
        sealed, is_begun = await asyncio.to_thread(self._begun, record, limit)
        if sealed is not None:
            return await record.opened(sealed, typing.get_type_hints(input.fn).get("return"))
        if is_begun:
            return await self._attempted(input, record, limit)
        async with self._suspicious.alone():
            await asyncio.to_thread(self._begin, record, limit)
            return await self._attempted(input, record, limit)

    def _begun(self, record: AttemptRecord, limit: int) -> tuple[bytes | None, bool]:
        """The result that the journal has, or None and whether an attempt has begun; a suspicious one has not."""
        sealed = record.served()
        if sealed is not None:
            return sealed, False
        record.step.refuse_if_paused()
        if record.attempts.deaths() >= SUSPICIOUS:
            return None, False
        self._begin(record, limit)
        return None, True

    def _begin(self, record: AttemptRecord, limit: int) -> None:
        if not record.begin(self._services.identity, self._services.awake.since(), limit):
            raise ApplicationError(f"gave up: attempt {limit} of {limit} took too long", non_retryable=True)

    async def _attempted(self, input: ExecuteActivityInput, record: AttemptRecord, limit: int) -> Any:
        """The result of one attempt, which the journal then has."""
        with self._accounted(record, is_last=record.events.attempt == limit):
            result = await self._performed(input)
            sealed = await record.sealed(result)
        await persisting.until_written(lambda: record.keep(sealed), record.events.failed)
        return result

    async def _performed(self, input: ExecuteActivityInput) -> Any:
        """What the step's own code returns."""
        try:
            with _hearing(input):
                return await super().execute_activity(input)
        except Exception:
            if environments.is_lost(self._services.environment):
                # It failed for the lack of files, perhaps; the engine is about to end this process. To report that
                # would be to fail the run.
                await asyncio.Event().wait()
            raise

    @contextlib.contextmanager
    def _accounted(self, record: AttemptRecord, *, is_last: bool) -> Iterator[None]:
        """Write down how the attempt in the body ends where that is not well, and end the step with the last one."""
        attempts, events = record.attempts, record.events
        began = now()
        try:
            yield
        except asyncio.CancelledError:
            events.cancelled()
            info, details = activity.info(), activity.cancellation_details()
            was_awake = self._services.awake.since() <= began
            if was_awake and took_too_long(details, now() - began, info.start_to_close_timeout):
                attempts.failed()
            else:
                attempts.spared()
            raise
        except activity._CompleteAsyncError:  # noqa: SLF001 - the SDK has no public name for it
            raise
        except Exception as error:
            events.failed(error)
            if isinstance(error, ApplicationError) and error.type in UNCOUNTED:
                attempts.spared()
                raise
            attempts.failed()
            if is_last:
                raise _last_attempt(error) from error.__cause__
            raise
        except BaseException as error:  # noqa: BLE001 - as the next line says
            # sys.exit() in a step, say. It must not leave the worker's event loop, and would do the same again.
            events.failed(error)
            raise _last_attempt(error) from None


def _hearing(input: ExecuteActivityInput) -> contextlib.AbstractContextManager[None]:
    """Hear of a cancellation while the body runs, which comes with the heartbeats. An author's own are left to them."""
    info = activity.info()
    if info.is_local or info.heartbeat_timeout:
        return contextlib.nullcontext()
    return model_calls.heartbeats(in_thread=not inspect.iscoroutinefunction(input.fn))


def _last_attempt(error: BaseException) -> ApplicationError:
    """`error` as one that is not retried, raised at the same place."""
    if isinstance(error, ApplicationError):
        last = ApplicationError(error.message, *error.details, type=error.type, non_retryable=True)
    else:
        last = ApplicationError(str(error) or type(error).__name__, type=type(error).__name__, non_retryable=True)
    return last.with_traceback(error.__traceback__)
