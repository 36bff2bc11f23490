"""Time that passes at once in tests: on the real server, with the real worker, also when it is killed meanwhile."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import anyio
import pytest

from sagaflow_mcp import answering, runs
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.testing import LocalSagaflow, Rule
from tests.integration.clients import timers, with_client
from tests.waiting import eventually

if TYPE_CHECKING:
    from temporalio.client import Client

    from sagaflow_mcp.runs import Run

WAIT = timedelta(seconds=60)
"""How long `LocalSagaflow.wait` waits: what a run's clock may show beyond what was skipped."""


def assert_took(run: Run, wanted: timedelta) -> None:
    """By the run's own clock."""
    took = datetime.fromisoformat(run.closed_at) - datetime.fromisoformat(run.created_at)
    assert wanted <= took < wanted + WAIT


def test_three_days_of_sleep(local: LocalSagaflow) -> None:
    """With `ctx.sleep`, and with Temporal's own means."""
    run = local.wait(local.launch("one-function", what="sleep", count=3, skip_time=True))
    assert run.result == 3
    assert_took(run, timedelta(days=3))
    own = local.wait(local.launch("sleeper", days=3, skip_time=True))
    assert own.result == 3
    assert_took(own, timedelta(days=3))
    local.skip_time(own.run_id)
    with pytest.raises(Refusal, match="there is no run 'nothing'"):
        local.skip_time("nothing")


def test_a_worker_killed_while_the_run_sleeps(local: LocalSagaflow) -> None:
    """The new one does not begin the three days anew."""
    run_id = local.launch("one-function", what="sleep", count=3)
    eventually(lambda: timers(local, run_id), "the run sleeps")
    local.kill_worker()
    local.skip_time(run_id)
    run = local.wait(run_id)
    assert run.result == 3
    assert_took(run, timedelta(days=3))
    assert timers(local, run_id) == 1


def test_a_question_that_nobody_answers(local: LocalSagaflow) -> None:
    """Comes to its timeout of two days at once."""
    days = timedelta(days=2)
    run = local.wait(local.launch("one-function", what="ask", count=int(days.total_seconds()), skip_time=True))
    assert (run.state, run.summary) == ("FAILED", "TimeoutError: nobody has answered in time: Shall it be done?")
    assert_took(run, days)


def test_a_question_without_a_timeout_waits(local: LocalSagaflow) -> None:
    """There is no time to be skipped."""
    run_id = local.launch("one-function", what="ask_for_ever", skip_time=True)
    eventually(lambda: runs.get(local.settings.home, run_id).questions, "the run asks")
    anyio.run(answering.answer, local.settings, run_id, "surely")
    run = local.wait(run_id)
    assert run.result == "surely"
    assert_took(run, timedelta(0))


def test_nothing_is_skipped_while_the_model_is_at_work(local: LocalSagaflow) -> None:
    """A slow call has no timeout because of a sleep beside it, and is made once."""
    local.model.add(Rule(match="Item 1", reply="at last", hold="slow"))
    run_id = local.launch("one-function", what="sleep_beside", count=3, skip_time=True)
    local.model.wait_for_requests(1)
    eventually(lambda: timers(local, run_id), "the run sleeps")
    local.model.release("slow")
    run = local.wait(run_id)
    assert run.result == "at last"
    assert_took(run, timedelta(days=3))
    assert len(local.model.requests) == 1


def test_a_child_has_its_parents_ways(local: LocalSagaflow) -> None:
    """Whether it was there before or not; its clock is its own."""
    run = local.wait(local.launch("one-function", what="child", name="sleep", count=3, skip_time=True))
    assert run.result == 3
    run_id = local.launch("one-function", what="child", name="sleep", count=3)

    async def children(client: Client) -> list[str]:
        """The ids of those that are under way."""
        described = await client.get_workflow_handle(run_id).describe()
        return [each.workflow_id for each in described.raw_description.pending_children if each.run_id]

    (child,) = eventually(lambda: with_client(local, children), "the child is there")
    eventually(lambda: timers(local, child), "the child sleeps")
    local.skip_time(run_id)
    assert local.wait(run_id).result == 3


def test_there_is_no_worker_to_kill_before_the_first_launch() -> None:
    """Which is said in a sentence."""
    with LocalSagaflow() as fresh, pytest.raises(Refusal, match="no worker yet; it starts with the first launch"):
        fresh.kill_worker()
