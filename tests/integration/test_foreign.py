"""Nobody without the home's key starts, steers or reads a run."""

from __future__ import annotations

import dataclasses
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
import pytest
from temporalio import workflow
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest, StartWorkflowExecutionRequest
from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.worker import (
    Interceptor,
    StartChildWorkflowInput,
    UnsandboxedWorkflowRunner,
    Worker,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from sagaflow_mcp import doctor, engine_client, faces, markers, records, refused, retrying, steering, temporal
from sagaflow_mcp.testing import Rule
from tests import waiting
from tests.integration.clients import with_client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from temporalio.api.common.v1 import Payload
    from temporalio.api.history.v1 import WorkflowExecutionStartedEventAttributes

    from sagaflow_mcp.testing import LocalSagaflow

PLANTED = (
    "planted-prompt-word",
    "planted-system-word",
    "planted-argument-word",
    "planted-reply-word",
    "planted-error-word",
)


async def plain_client(local: LocalSagaflow) -> Client:
    """A client of the home's server that knows nothing of its key."""
    return await Client.connect(engine_client.ready(local.settings.home))


def test_foreign_messages_are_refused_and_reported_and_open_runs_unharmed(local: LocalSagaflow) -> None:
    """A start, signals and an update of a plain client reach no skill code; the run they were aimed at ends well."""
    run_id = local.launch("endings", how="wait")

    async def attack() -> None:
        """Send what is not sealed, then what ends the run."""
        plain = await plain_client(local)
        run = plain.get_workflow_handle(run_id)
        queue = (await run.describe()).task_queue
        for number, arguments in enumerate(([], [{"how": "return"}])):
            start = await plain.start_workflow("EndingsWorkflow", args=arguments, id=f"evil-{number}", task_queue=queue)
            with pytest.raises(WorkflowFailureError):
                await start.result()
        await run.signal("say", "raise")
        await run.signal("knock")
        # The last two where the refusal itself is sealed, so that the plain client cannot read it.
        refused = (WorkflowUpdateFailedError, RPCError, RuntimeError, KeyError)
        with pytest.raises(refused):
            await run.execute_update("shout", "evil")
        with pytest.raises(refused):
            await run.execute_update("sagaflow_accept")
        with pytest.raises(refused):
            await run.execute_update("whisper")
        ours = await temporal.connect(local.settings.home, engine_client.ready(local.settings.home))
        assert await ours.get_workflow_handle(run_id).execute_update("shout", "hello") == "HELLO"
        await ours.get_workflow_handle(run_id).signal("knock")
        await ours.get_workflow_handle(run_id).signal("say", "enough")

    anyio.run(attack)
    assert local.wait(run_id).result == "heard ['HELLO', 'knock', 'enough']"
    assert [entry.run_id for entry in local.inbox()] == [run_id]
    (told,) = [check for check in doctor.examine(local.environment(), faces.CLI) if check.name == "foreign messages"]
    assert told.level == "warn"
    assert told.finding.split()[0] == "6"


def test_what_was_sealed_counts_once_and_for_its_own_run(local: LocalSagaflow) -> None:
    """A signal that somebody reads in a history and sends again, to that run or another, is dropped."""
    first, second = (local.launch("endings", how="wait") for _ in range(2))

    async def replay() -> None:
        """Send the signal again as the history has it, to both runs."""
        ours = await temporal.connect(local.settings.home, engine_client.ready(local.settings.home))
        await ours.get_workflow_handle(first).signal("say", "once")
        history = await ours.get_workflow_handle(first).fetch_history()
        (sent,) = [
            event.workflow_execution_signaled_event_attributes
            for event in history.events
            if event.HasField("workflow_execution_signaled_event_attributes")
        ]
        plain = await plain_client(local)
        for target in (first, second):
            message = SignalWorkflowExecutionRequest(
                namespace="default", signal_name="say", input=sent.input, header=sent.header
            )
            message.workflow_execution.workflow_id = target
            await plain.workflow_service.signal_workflow_execution(message)
            await ours.get_workflow_handle(target).signal("say", "enough")

    anyio.run(replay)
    assert local.wait(first).result == "heard ['once', 'enough']"
    assert local.wait(second).result == "heard ['enough']"


async def start_again(plain: Client, run_id: str) -> None:
    """Send the start of the run again, as the history of its first execution has it."""
    first = await first_event(plain, run_id)
    request = StartWorkflowExecutionRequest(
        namespace="default",
        workflow_id=run_id,
        workflow_type=first.workflow_type,
        task_queue=first.task_queue,
        header=first.header,
        memo=first.memo,
        request_id=str(uuid.uuid4()),
    )
    await plain.workflow_service.start_workflow_execution(request)


async def first_event(plain: Client, run_id: str) -> WorkflowExecutionStartedEventAttributes:
    """How the run's first execution was started."""
    described = await plain.get_workflow_handle(run_id).describe()
    begun = described.raw_description.workflow_execution_info.first_run_id
    history = await plain.get_workflow_handle(run_id, run_id=begun).fetch_history()
    return history.events[0].workflow_execution_started_event_attributes


@workflow.defn
class StrangersWorkflow:
    """Somebody else's, on the same server."""

    @workflow.run
    async def run(self, run_id: str, kind: str, queue: str) -> None:
        """Start a child that is called as a run is."""
        on_its_own = workflow.ParentClosePolicy.ABANDON
        await workflow.start_child_workflow(kind, id=run_id, task_queue=queue, parent_close_policy=on_its_own)


class _WithHeader(WorkflowOutboundInterceptor):
    header: ClassVar[dict[str, Payload]] = {}

    async def start_child_workflow(self, input: StartChildWorkflowInput) -> workflow.ChildWorkflowHandle[Any, Any]:
        return await super().start_child_workflow(dataclasses.replace(input, headers=self.header))


class _Inbound(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_WithHeader(outbound))


class Stranger(Interceptor):
    """Gives each child the header that was read."""

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: ARG002 - the base class's signature
    ) -> type[WorkflowInboundInterceptor]:
        """The one that does."""
        return _Inbound


async def start_as_child(plain: Client, run_id: str) -> None:
    """Have the run's start sent again by a workflow, of which it would be a child."""
    first = await first_event(plain, run_id)
    _WithHeader.header = dict(first.header.fields)
    async with Worker(
        plain,
        task_queue="a-strangers",
        workflows=[StrangersWorkflow],
        interceptors=[Stranger()],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        given = [run_id, first.workflow_type.name, first.task_queue.name]
        await plain.execute_workflow(StrangersWorkflow.run, args=given, id=run_id[::-1], task_queue="a-strangers")


def test_a_run_that_has_ended_cannot_be_started_again_by_replay(local: LocalSagaflow) -> None:
    """Its start, sent again with its sealed header and memo, reaches no skill code, and harms no retry.

    Also not while it is marked as open: by a retry, or since its ending has still to be told.
    """
    run_id, home = local.launch("endings", how="wait"), local.settings.home
    anyio.run(lambda: steering.cancel(local.settings, run_id, force=True))
    local.wait(run_id)
    waiting.eventually(lambda: not markers.exists(home, run_id), "the ending told")

    async def refusal(send: Callable[[Client, str], Awaitable[None]]) -> str:
        """Why the run that is started again ends."""
        plain = await plain_client(local)
        await send(plain, run_id)
        ours = await temporal.connect(home, engine_client.ready(home))
        with anyio.fail_after(30), pytest.raises(WorkflowFailureError) as raised:
            await ours.get_workflow_handle(run_id).result()
        assert isinstance(raised.value.cause, ApplicationError)
        assert raised.value.cause.type == temporal.REFUSED
        return raised.value.cause.message

    assert anyio.run(refusal, start_again) == "this launch was given up, or the run has ended"
    markers.claim(home, records.OpenRun(run_id, "endings", "", "", records.moment(time.time() + 1), ""))
    for send in (start_again, start_as_child):
        assert anyio.run(refusal, send) == "this start was sent again by somebody who read it"
    markers.remove(home, run_id)
    assert any("sent again by somebody who read it" in line and run_id in line for line in refused.listing(home))
    anyio.run(lambda: retrying.retry(local.settings, run_id, face=faces.CLI))
    with_client(local, lambda client: client.get_workflow_handle(run_id).signal("say", "enough"))
    assert local.wait(run_id).result == "heard ['enough']"
    assert [entry.status for entry in local.inbox(run_id)] == ["DONE", "TERMINATED"]


@pytest.mark.parametrize(("how", "status"), [("cancel", "CANCELLED"), ("terminate", "TERMINATED")])
def test_whoever_reaches_the_port_can_end_a_run_and_its_user_is_told(
    local: LocalSagaflow, how: str, status: str
) -> None:
    """Temporal asks for no payload there that could be sealed; README says so."""
    run_id = local.launch("endings", how="wait")

    async def end() -> None:
        """End it."""
        run = (await plain_client(local)).get_workflow_handle(run_id)
        await (run.cancel() if how == "cancel" else run.terminate())

    anyio.run(end)
    assert local.wait(run_id).state == status
    assert [entry.status for entry in local.inbox(run_id)] == [status]


def test_nothing_of_a_run_is_readable_in_the_database(local: LocalSagaflow) -> None:
    """Planted words of prompt, argument, result and error are not in the server's files."""
    local.model.add(Rule(match="planted-prompt-word", reply="planted-reply-word", times=1))
    assert local.wait(local.launch("endings", how="model")).result == "planted-reply-word"
    local.wait(local.launch("endings", how="planted-argument-word"))
    local.wait(local.launch("endings", how="raise"))
    content = b"".join(path.read_bytes() for path in Path(local.settings.home.engine).glob("temporal.db*"))
    words = [*PLANTED, "the workflow broke on purpose"]
    assert [word for word in words if word.encode() in content] == []
    assert b"EndingsWorkflow" in content
