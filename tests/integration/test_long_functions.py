"""Functions that go on for long: in several executions, and through every kill."""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from temporalio.api.enums.v1 import EventType

from sagaflow_mcp import answering, artifacts, engine_client, faces, inbox, retrying, runs, steering
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.testing import Error, LocalSagaflow, Rule
from tests.integration.clients import with_client
from tests.integration.own_temporal import FEW_EVENTS, DevServer, own_server
from tests.phases import SKILLS
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from temporalio.client import Client

EVENTS = 100
"""How many events the server takes for many."""

COUNT = 60
"""Prompts of a run: more than fit into two executions of a server that takes 100 events for many."""


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSagaflow]:
    """A Sagaflow with a Temporal server that soon asks runs to continue as new."""
    folder = tmp_path_factory.mktemp("server")
    with DevServer(folder, *FEW_EVENTS) as server, own_server(server.address, SKILLS) as local:
        middle = Rule(match="Item 30", reply="got 30", hold="middle")
        local.model.add(middle, Rule(match=r"Item (\d+)", reply="got ${1}"))
        yield local


def begun(local: LocalSagaflow) -> str:
    """The id of a run that asks before it goes on."""
    run_id = local.launch("one-function", what="long", count=COUNT)
    eventually(lambda: runs.get(local.settings.home, run_id).questions, "the run asks")
    return run_id


def finished(run_dir: Path) -> list[Any]:
    """The steps that have finished, as often as they have.

    One whose worker was killed just when its result was written down is only told as served from there.
    """
    events = list(artifacts.events(run_dir))
    done = [each["step"] for each in events if each["event"] == "step_finished"]
    return [*done, *({each["step"] for each in events if each["event"] == "step_served"} - set(done))]


def count(local: LocalSagaflow, run_id: str, kind: EventType.ValueType, temporal_run_id: str | None = None) -> int:
    """How many events of a kind an execution has, the last one where none is named."""

    async def look(client: Client) -> int:
        """In its history."""
        history = await client.get_workflow_handle(run_id, run_id=temporal_run_id).fetch_history()
        return sum(event.event_type == kind for event in history.events)

    found: int = with_client(local, look)
    return found


def test_a_long_function_goes_on_in_new_executions_and_through_kills(impatient: LocalSagaflow) -> None:
    """Nothing is done twice: not a step, a question or a draw of chance; killed in the middle of its second part."""
    local = impatient
    run_id = begun(local)
    status = engine_client.status(local.settings.home) or {}
    for pid in (status["keeper"], status["pid"], status["worker"]["pid"]):
        os.kill(pid, signal.SIGKILL)
    anyio.run(answering.answer, local.settings, run_id, "of course")
    eventually(lambda: "Item 30" in str([each.body for each in local.model.requests]), "it is in the middle", 60)
    os.kill(local.pid("worker"), signal.SIGKILL)
    local.model.release("middle")

    run = local.wait(run_id)
    assert run.state == "DONE", run.summary
    first, answer, same, seed, later, continued = run.result
    assert (first, answer, same, later) == ("first", "of course", True, True)
    assert not seed, "two draws are not the same"
    assert continued, "it was continued as new"
    steps = finished(Path(run.run_dir))
    assert len(steps) == COUNT + 1
    assert len(set(steps)) == COUNT + 1
    assert len(local.model.requests) <= COUNT + 6, "at most those in flight were made again"
    assert [entry.status for entry in local.inbox(run_id)] == ["DONE", "NEEDS_INPUT"]


def full(local: LocalSagaflow, run_id: str) -> None:
    """Return once the run's execution takes no more steps, and only waits for the one in flight to go on in another."""

    async def look(client: Client) -> bool:
        """What Temporal says of it now."""
        found = (await client.get_workflow_handle(run_id).describe()).raw_description
        is_idle = not found.HasField("pending_workflow_task")
        return is_idle and found.workflow_execution_info.history_length > EVENTS and len(found.pending_activities) == 1

    eventually(lambda: with_client(local, look), "the execution is full", 60)


def execution(local: LocalSagaflow, run_id: str) -> str:
    """Temporal's id of the run's execution."""

    async def look(client: Client) -> str:
        """What Temporal says of it now."""
        return (await client.get_workflow_handle(run_id).describe()).run_id or ""

    found: str = with_client(local, look)
    return found


@pytest.mark.parametrize("is_ended", [False, True])
def test_a_paused_run_that_goes_on_in_another_execution_stays_paused(
    impatient: LocalSagaflow, *, is_ended: bool
) -> None:
    """What is in flight ends, and so does the execution; the next one begins nothing until it is resumed.

    Where it is ended there, a retry lets it go on, though that execution itself was never asked to pause.
    """
    local = impatient
    held = f"pause-{is_ended}"
    local.model.replace(Rule(match="Lane 0, step 1", reply="ok", hold=held), Rule(reply="ok"))
    launched = len(local.model.requests)
    run_id = local.launch("lanes", lanes=2, steps=30)
    full(local, run_id)
    anyio.run(steering.pause, local.settings, run_id)
    first, before = execution(local, run_id), len(local.model.requests)
    local.model.release(held)
    eventually(lambda: execution(local, run_id) != first, "it has gone on")
    if is_ended:
        eventually(lambda: count(local, run_id, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED), "it has begun to")
        anyio.run(lambda: steering.cancel(local.settings, run_id, force=True))
        assert local.wait(run_id).state == "TERMINATED"
        anyio.run(lambda: retrying.retry(local.settings, run_id, face=faces.CLI))
    else:
        with pytest.raises(Refusal, match="is paused already"):
            anyio.run(steering.pause, local.settings, run_id)
        assert len(local.model.requests) == before
        anyio.run(steering.resume, local.settings, run_id)
    assert local.wait(run_id).state == "DONE"
    assert len(local.model.requests) - launched == 60, "nothing was asked twice"


def test_what_failed_in_an_execution_before_is_tried_again(impatient: LocalSagaflow) -> None:
    """A lane fails early, the others go on in further executions: a retry asks for what is missing, and for no more."""
    local = impatient
    error = Error(status=401, type="authentication_error", message="bad key")
    local.model.replace(Rule(match="Lane 0, step 2", error=error, times=1), Rule(reply="ok"))
    run_id = local.launch("lanes", lanes=2, steps=30)
    first = execution(local, run_id)
    assert local.wait(run_id).state == "FAILED"
    assert execution(local, run_id) != first
    before = len(local.model.requests)
    anyio.run(lambda: retrying.retry(local.settings, run_id, face=faces.CLI))
    run = local.wait(run_id)
    assert run.state == "DONE", run.summary
    asked = [str(each.body["messages"][-1]["content"]) for each in local.model.requests[before:]]
    assert asked == [f"Lane 0, step {step}." for step in range(2, 31)]


def test_an_answer_that_comes_while_the_execution_ends_is_kept(impatient: LocalSagaflow) -> None:
    """Its entry cannot be closed for a while, in which the last step in flight ends; nobody is asked again."""
    local = impatient
    local.model.replace(Rule(match="Item 0$", reply="ok", hold="answer"), Rule(reply="ok"))
    run_id = local.launch("one-function", what="full", count=COUNT)
    full(local, run_id)
    first = execution(local, run_id)
    ended = EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED
    before = count(local, run_id, ended, first)
    with Path(local.settings.home.inbox, ".lock").open("a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        anyio.run(answering.answer, local.settings, run_id, "blue")
        local.model.release("answer")
        eventually(lambda: count(local, run_id, ended, first) > before, "the step is over")
    run = local.wait(run_id)
    assert (run.state, run.result) == ("DONE", ["blue", COUNT])
    assert execution(local, run_id) != first
    assert [entry.status for entry, _ in inbox.for_run(local.settings.home, run_id)] == ["DONE", "NEEDS_INPUT"]
