"""Nobody without the home's key starts, steers or reads a run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest, StartWorkflowExecutionRequest
from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from sagaflow_mcp import doctor, engine_client, faces, markers, records, temporal
from sagaflow_mcp.testing import Rule
from tests import waiting

if TYPE_CHECKING:
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


@pytest.mark.parametrize("is_told", [True, False])
def test_a_run_that_has_ended_cannot_be_started_again_by_replay(local: LocalSagaflow, *, is_told: bool) -> None:
    """The start of a closed run, sent again with its sealed header and memo, reaches no skill code.

    Also in the moment in which its ending has still to be told, and it is marked as open.
    """
    run_id, home = local.launch("endings", how="return"), local.settings.home
    local.wait(run_id)
    if not is_told:
        waiting.eventually(lambda: not markers.exists(home, run_id), "the ending told")
        later = records.moment(time.time() + 1)
        assert markers.claim(home, records.OpenRun(run_id, "endings", "", "", later, ""))

    async def replay() -> None:
        """Send the start again as the history has it."""
        plain = await plain_client(local)
        handle = plain.get_workflow_handle(run_id)
        first = (await handle.fetch_history()).events[0].workflow_execution_started_event_attributes
        request = StartWorkflowExecutionRequest(
            namespace="default",
            workflow_id=run_id,
            workflow_type=first.workflow_type,
            task_queue=first.task_queue,
            header=first.header,
            memo=first.memo,
            request_id="again",
        )
        await plain.workflow_service.start_workflow_execution(request)
        ours = await temporal.connect(local.settings.home, engine_client.ready(local.settings.home))
        with pytest.raises(WorkflowFailureError) as refused:
            await ours.get_workflow_handle(run_id).result()
        assert isinstance(refused.value.cause, ApplicationError)
        assert refused.value.cause.type == temporal.REFUSED

    anyio.run(replay)
    markers.remove(home, run_id)
    assert [entry.status for entry in local.inbox(run_id)] == ["DONE"]


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
