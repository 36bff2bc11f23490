"""What is done around every skill's workflow without its author's doing: launch envelope, routing, step keys, seals.

What the classes here command is part of every run's history. A change of it must go through `workflow.patched`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import typing
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError, FailureError
from temporalio.exceptions import TimeoutError as ActivityTimeout
from temporalio.worker import (
    ContinueAsNewInput,
    ExecuteWorkflowInput,
    HandleSignalInput,
    HandleUpdateInput,
    SignalChildWorkflowInput,
    SignalExternalWorkflowInput,
    StartActivityInput,
    StartChildWorkflowInput,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowOutboundInterceptor,
)

from sagaflow_mcp import temporal
from sagaflow_mcp.durable import answers, holding, journal, run_state, told
from sagaflow_mcp.durable.answers import Questions
from sagaflow_mcp.durable.permits import Permits
from sagaflow_mcp.durable.told import Told
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.failures import carriable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from temporalio.api.common.v1 import Payload

LOCAL = frozenset(
    {"write_artifact", "emit_finding", "note_progress", "put_question", "close_question", "ask_permission"}
)
"""Steps that run inside the workflow task: idempotent work of milliseconds, since they can run again after a kill."""

MODEL = frozenset({"agent_turn", "prompt_model", "spawn_subagent"})
"""Steps that go to the home's queue for model calls."""

MODEL_HEARTBEAT_TIMEOUT = timedelta(seconds=12)
"""Longest silence of a model call before Temporal gives it to another attempt, whatever the skill asks for."""

OF_ONE_RUN = frozenset({"arguments", "granted", "nonces", "paused", "told"})
"""What an envelope has that is none of a child's business."""

BUILD_INPUT = "sagaflow_build_input"
"""The local activity that turns launch arguments into the workflow's input."""

FIRST_EXECUTION = "first_execution"
"""The field of what that activity is given that has Temporal's id of the execution which the run began with.

A retry keeps it. Empty for a child of the run.
"""

BUILD_INPUT_TIMEOUT = timedelta(seconds=30)

NONCES_KEPT = 1000
"""Messages of a run that are remembered so that none counts twice; those before them are older than any retry."""

refusals = logging.getLogger("sagaflow_mcp.refused")
"""Told of each message that was not sealed by this home."""


def refused(reason: str) -> ApplicationError:
    """The error that ends a start, an update or a step for good, with `reason` as its message."""
    return ApplicationError(reason, type=temporal.REFUSED, non_retryable=True)


def _first_execution(envelope: Mapping[str, Any]) -> str:
    """That of the workflow, were it the run itself; empty for a child of the run.

    Not a child only because it has a parent: others can have a workflow of theirs start one.
    """
    info, run_id = workflow.info(), envelope["run_id"]
    is_of_run = info.root is None or info.root.workflow_id == run_id  # Older servers do not say it.
    is_child = info.parent is not None and info.workflow_id != run_id and is_of_run
    return "" if is_child else info.first_execution_run_id


async def _contained(work: Awaitable[Any]) -> Any:
    """What a skill's code returns; whatever it raises ends its own run at most.

    `sys.exit()` would otherwise leave the event loop and take the whole worker along.
    """
    try:
        return await work
    except Exception as error:
        told = carriable(error)
        if told is error:
            raise
        raise told from None
    except (asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException as error:
        if type(error).__module__.startswith("temporalio."):
            raise  # The SDK's own: an eviction, a continue-as-new.
        kind = type(error).__name__
        told = ApplicationError(f"{kind}: {error}", type=kind, non_retryable=True)
        raise told.with_traceback(error.__traceback__) from None


class RunInbound(WorkflowInboundInterceptor):
    """Opens the envelope, lets the skill build its input, and answers the launcher; refuses what is not ours."""

    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        """Set up before the workflow's first task: the accept update is already in it."""
        # Not workflow.info(): at this moment only the chain itself can tell.
        info = outbound.info()
        self._envelope = temporal.read_header(info.headers, "start", info.workflow_id)
        # The list is the envelope's own, so that a continued run goes on with it.
        self._nonces: list[str] = (self._envelope or {}).setdefault("nonces", [])
        self._gate = holding.Gate(is_shut=bool((self._envelope or {}).get("paused")))
        self._outbound = RunOutbound(outbound, self._envelope or {}, self._gate)
        super().init(self._outbound)
        self._verdict: str | None = None
        self._unanswered = 0
        self._questions = Questions()
        self._told = Told((self._envelope or {}).setdefault("told", []))
        allowed = (self._envelope or {}).get("allow", [])
        self._permits = Permits(allowed, (self._envelope or {}).setdefault("granted", []))
        workflow.set_update_handler(temporal.ACCEPT, self._accept)
        workflow.set_update_handler(answers.ANSWER, self._answer)
        workflow.set_update_handler(answers.PERMIT, self._permit)
        workflow.set_update_handler(told.TELL, self._tell)
        workflow.set_update_handler(holding.HOLD, self._hold)
        workflow.set_signal_handler(holding.HOLD, self._hold)

    async def _accept(self) -> str:
        self._unanswered += 1
        try:
            await workflow.wait_condition(lambda: self._verdict is not None)
            if self._verdict:
                raise refused(self._verdict)
            return "accepted"
        finally:
            self._unanswered -= 1

    async def _answer(self, text: str, question_id: str = "") -> str:
        """The id of the question that `text` is the answer to."""
        try:
            return (await self._questions.take(text, question_id)).id
        except Refusal as error:
            raise refused(str(error)) from None

    async def _permit(self, text: str, question_id: str = "") -> str:
        """The id of the question about a permission that a person has decided."""
        try:
            return (await self._questions.take(text, question_id, permission=True)).id
        except Refusal as error:
            raise refused(str(error)) from None

    async def _tell(self, text: str) -> None:
        try:
            await self._told.take(text)
        except Refusal as error:
            raise refused(str(error)) from None

    async def _hold(self, shut: bool) -> bool:
        """Whether the run is paused (or else resumed) by this."""
        changed = self._gate.hold(shut=shut)
        await self._outbound.tell_children(holding.HOLD, shut)
        return changed

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        """The skill's own result, known to be serialisable."""
        if self._envelope is None:
            refusals.warning("a start not sealed by this home", extra={"workflow_id": workflow.info().workflow_id})
            await self._refuse("this start was not sealed by the home that it was sent to")
        envelope = self._envelope
        built = await self._built_input(input, envelope) if "arguments" in envelope else input.args
        self._verdict = ""
        run_state.enter(run_state.RunState(envelope, self._questions, self._told, self._permits))
        result = await _contained(super().execute_workflow(dataclasses.replace(input, args=built)))
        try:
            workflow.payload_converter().to_payloads([result])
        except Exception as error:  # noqa: BLE001 - a converter may raise anything
            raise ApplicationError(
                f"the result of the workflow, a {type(result).__name__}, cannot be serialised: {error}",
                non_retryable=True,
            ) from None
        await workflow.wait_condition(lambda: self._unanswered == 0)
        return result

    async def _built_input(self, input: ExecuteWorkflowInput, envelope: dict[str, Any]) -> Sequence[Any]:
        # From the hints, not from the spec: the sandbox has its own copy of the class.
        hints = typing.get_type_hints(input.run_fn)
        hints.pop("return", None)
        given = {**envelope, FIRST_EXECUTION: _first_execution(envelope)}
        try:
            built = await workflow.execute_local_activity(
                BUILD_INPUT,
                given,
                start_to_close_timeout=BUILD_INPUT_TIMEOUT,
                retry_policy=RetryPolicy(maximum_attempts=1),
                result_type=next(iter(hints.values()), None),
            )
        except FailureError as error:
            # The SDK raises a local activity's error bare, a remote one's inside an ActivityError.
            inner = error.cause if isinstance(error.cause, FailureError) else error
            late = isinstance(inner, ActivityTimeout)
            await self._refuse(f"build_input did not finish within {BUILD_INPUT_TIMEOUT}" if late else inner.message)
        return [built] if hints else []

    async def _refuse(self, reason: str) -> NoReturn:
        self._verdict = reason
        await workflow.wait_condition(lambda: self._unanswered == 0)
        raise refused(reason)

    async def handle_signal(self, input: HandleSignalInput) -> None:
        """Deliver a signal of ours; drop and report any other."""
        if self._is_ours(f"signal:{input.signal}", input.headers):
            await _contained(super().handle_signal(input))

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:
        """The answer of an update of ours; any other fails before a handler sees it.

        Not in the validator: the SDK asks that only of handlers whose author wrote one.
        """
        if not self._is_ours(f"update:{input.update}", input.headers):
            raise refused("this update was not sealed by the run's home")
        return await _contained(super().handle_update_handler(input))

    def handle_update_validator(self, input: HandleUpdateInput) -> None:
        """Ask the author's validator about an update of ours; any other does not reach it."""
        if temporal.read_header(input.headers, f"update:{input.update}", workflow.info().workflow_id) is None:
            raise refused("this update was not sealed by the run's home")
        super().handle_update_validator(input)

    def _is_ours(self, kind: str, headers: Mapping[str, Payload]) -> bool:
        """Whether a message was sealed by this home for this run, and comes for the first time."""
        workflow_id = workflow.info().workflow_id
        content = temporal.read_header(headers, kind, workflow_id)
        nonce = (content or {}).get("nonce", "")
        trouble = "not sealed by this home" if content is None else "sent again by somebody who read it"
        if content is not None and nonce not in self._nonces:
            self._nonces.append(nonce)
            del self._nonces[:-NONCES_KEPT]
            return True
        if not workflow.unsafe.is_replaying():
            refusals.warning("%s %s", kind, trouble, extra={"workflow_id": workflow_id})
        return False


class RunOutbound(WorkflowOutboundInterceptor):
    """Routes steps to where they run and gives each its journal key."""

    def __init__(self, next: WorkflowOutboundInterceptor, envelope: dict[str, Any], gate: holding.Gate) -> None:
        super().__init__(next)
        self._envelope = envelope
        self._gate = gate
        self._occurrences: Counter[str] = Counter()
        self._children: list[workflow.ChildWorkflowHandle[Any, Any]] = []

    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:
        """Start the step on the queue it belongs to, with its key in the header."""
        if input.activity in LOCAL and input.task_queue is None:
            return self.start_local_activity(_as_local(input))
        policy = input.retry_policy or RetryPolicy()
        if input.activity in MODEL and input.task_queue is None:
            # From the envelope, not from the workflow's own queue: a replay has another one.
            input.task_queue = self._envelope.get("model_queue")
            input.heartbeat_timeout = min(input.heartbeat_timeout or MODEL_HEARTBEAT_TIMEOUT, MODEL_HEARTBEAT_TIMEOUT)
        input.headers = self._step_header(input, attempts=policy.maximum_attempts)
        # Unlimited for Temporal: an attempt that ended because the worker died must not count. `steps` counts the rest.
        input.retry_policy = dataclasses.replace(policy, maximum_attempts=0)
        start = super().start_activity
        return self._gate.later(lambda: start(input)) if self._gate.holds else start(input)

    def start_local_activity(self, input: StartLocalActivityInput) -> workflow.ActivityHandle[Any]:
        """Start the step inside the workflow task, with its key in the header."""
        input.headers = self._step_header(input, attempts=0)
        start = super().start_local_activity
        is_held = self._gate.holds and input.activity not in holding.BOOKKEEPING
        return self._gate.later(lambda: start(input)) if is_held else start(input)

    async def start_child_workflow(self, input: StartChildWorkflowInput) -> workflow.ChildWorkflowHandle[Any, Any]:
        """Start a child that belongs to the same run."""
        # Before the next line: a child of another skill is told apart only while it is being started.
        own = run_state.child_envelope()
        if self._gate.holds:
            await self._gate.passed()
        envelope = {name: value for name, value in self._envelope.items() if name not in OF_ONE_RUN}
        # Set where the child is another skill, which has files of its own and builds its own input.
        envelope |= own
        stamp = temporal.header("start", input.id, {**envelope, "scope": self._scope_of(input.id), "link": 0})
        input.headers = {**input.headers, temporal.HEADER: stamp}
        handle = await super().start_child_workflow(input)
        self._children = [*(each for each in self._children if not each.done()), handle]
        return handle

    def _scope_of(self, child_id: str) -> str:
        """What tells the steps of a child from others of the run, and is the same in a run that goes on from it."""
        return child_id.replace(str(self._envelope.get("run_id", "")), "", 1) or child_id

    async def tell_children(self, signal: str, given: object) -> None:
        """Send a signal to every child that has not ended."""
        for child in list(self._children):
            if not child.done():
                with contextlib.suppress(FailureError):  # It ended meanwhile.
                    await child.signal(signal, given)

    async def signal_child_workflow(self, input: SignalChildWorkflowInput) -> None:
        """Send the signal with our seal."""
        stamp = temporal.header(f"signal:{input.signal}", input.child_workflow_id, {"nonce": str(workflow.uuid4())})
        input.headers = {**input.headers, temporal.HEADER: stamp}
        await super().signal_child_workflow(input)

    async def signal_external_workflow(self, input: SignalExternalWorkflowInput) -> None:
        """Send the signal with our seal."""
        stamp = temporal.header(f"signal:{input.signal}", input.workflow_id, {"nonce": str(workflow.uuid4())})
        input.headers = {**input.headers, temporal.HEADER: stamp}
        await super().signal_external_workflow(input)

    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:
        """Go on in a new execution of the same run; its steps get keys of their own (`link`)."""
        envelope = {name: value for name, value in self._envelope.items() if name != "arguments"}
        envelope["link"] = self._envelope.get("link", 0) + 1
        envelope["paused"] = self._gate.is_shut
        stamp = temporal.header("start", workflow.info().workflow_id, envelope)
        input.headers = {**input.headers, temporal.HEADER: stamp}
        super().continue_as_new(input)

    def _step_header(self, input: StartActivityInput | StartLocalActivityInput, *, attempts: int) -> dict[str, Any]:
        content = journal.step_hash(
            input.activity,
            workflow.payload_converter().to_payloads(input.args),
            scope=self._envelope.get("scope", ""),
            neutral=[self._envelope.get("run_dir", ""), self._envelope.get("run_id", "")],
        )
        occurrence = self._occurrences[content]
        self._occurrences[content] += 1
        scope, prompt = str(self._envelope.get("scope", "")), getattr(input.args[0], "key", "") if input.args else ""
        own = f"{content}-{self._envelope.get('link', 0)}.{occurrence}"
        step = {
            "key": journal.prompt_key(scope, prompt) if input.activity == "prompt_model" and prompt else own,
            "scope": scope,
            "ancestors": self._envelope.get("ancestors", []),
            "run_id": self._envelope.get("run_id", ""),
            "skill": self._envelope.get("skill", ""),
            "project_dir": self._envelope.get("project_dir", ""),
            "folder": self._envelope.get("folder", ""),
            "attempts": attempts,
            "label": str(getattr(input.args[0], "role", "") if input.args else "") or input.activity,
        }
        stamp = temporal.header("step", workflow.info().workflow_id, step)
        return {**input.headers, temporal.HEADER: stamp}


def _as_local(input: StartActivityInput) -> StartLocalActivityInput:
    return StartLocalActivityInput(
        activity=input.activity,
        args=input.args,
        activity_id=input.activity_id,
        schedule_to_close_timeout=input.schedule_to_close_timeout,
        schedule_to_start_timeout=input.schedule_to_start_timeout,
        start_to_close_timeout=input.start_to_close_timeout,
        retry_policy=input.retry_policy,
        local_retry_threshold=None,
        cancellation_type=input.cancellation_type,
        headers=input.headers,
        summary=input.summary,
        arg_types=input.arg_types,
        ret_type=input.ret_type,
    )
