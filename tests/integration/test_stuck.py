"""Runs that cannot go on are given up, and no other run suffers."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import anyio

from sagaflow_mcp import faces, keys, markers, records, retrying, steering
from sagaflow_mcp.durable.open_runs import OpenRuns
from sagaflow_mcp.testing import Rule
from tests.integration.clients import with_client
from tests.waiting import eventually

if TYPE_CHECKING:
    from temporalio.client import Client

    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.testing import LocalSagaflow


def say(local: LocalSagaflow, run_id: str, word: str) -> None:
    """Send the run a word."""
    with_client(local, lambda client: client.get_workflow_handle(run_id).signal("say", word))


def test_runs_that_cannot_go_on_are_given_up(local: LocalSagaflow) -> None:
    """One run's code kills the worker each time, another's never yields; both end, and a third goes on."""
    healthy, deadly, endless = (local.launch("endings", how="wait") for _ in range(3))
    say(local, endless, "spin")
    say(local, deadly, "crash")
    for run_id in (deadly, endless):
        run = local.wait(run_id, seconds=120)
        assert run.state == "FAILED"
        assert run.summary.startswith("sagaflow has given the run up: its workflow code ")
        assert len(local.inbox(run_id)) == 1
    say(local, healthy, "enough")
    assert local.wait(healthy).result == "heard ['enough']"


def test_many_steps_that_kill_their_worker_end_no_other_run(local: LocalSagaflow) -> None:
    """Not even one that is in flight each time; and the engine goes on, however often the worker dies of them."""
    local.model.replace(Rule(match="planted-prompt-word", reply="unharmed", hold="answer"))
    before = len(local.model.requests)
    healthy = local.launch("endings", how="model")
    local.model.wait_for_requests(before + 1, seconds=60)
    deadly = [local.launch("endings", how="deadly") for _ in range(3)]
    local.model.wait_for_requests(before + 2, seconds=60)
    local.model.release("answer")
    for run_id in deadly:
        summary = local.wait(run_id, seconds=120).summary
        assert re.fullmatch(r"the worker died \d+ times during this step", summary), summary
    assert local.wait(healthy).result == "unharmed"
    assert len(local.model.requests) <= before + 4


def test_a_run_whose_marker_was_lost_gets_it_back(local: LocalSagaflow) -> None:
    """Without one the engine would take the home for idle, and stop with the run in it. Also one that was retried."""
    home = local.settings.home
    run_id = local.launch("endings", how="wait")
    before = markers.find(home, run_id)
    markers.remove(home, run_id)

    async def waits(client: Client) -> bool:
        """Whether the run goes on, and has nothing to do."""
        found = (await client.get_workflow_handle(run_id).describe()).raw_description
        is_open = not found.workflow_execution_info.HasField("close_time")
        return is_open and not found.HasField("pending_workflow_task")

    async def adopt(client: Client) -> None:
        """Look as one does when a launch can no longer be under way."""
        later = datetime.now(UTC) + timedelta(minutes=2)
        await OpenRuns(client, home, keys.KeyRing.of(home).home_id).adopt(later)

    with_client(local, adopt)
    assert markers.find(home, run_id) == before
    anyio.run(lambda: steering.cancel(local.settings, run_id, force=True))
    local.wait(run_id)
    anyio.run(lambda: retrying.retry(local.settings, run_id, face=faces.CLI))
    # Its input is built anew first, which is refused to a run that is not marked.
    eventually(lambda: with_client(local, waits), "it waits again")
    markers.remove(home, run_id)
    with_client(local, adopt)
    assert markers.is_open(home, run_id), "it had ended before it was retried"
    say(local, run_id, "enough")
    assert local.wait(run_id).state == "DONE"


def test_each_open_run_has_its_turn(home: Home) -> None:
    """However many are open, a look asks for few."""
    long_ago = records.moment(0)
    marked = [records.OpenRun(f"run-{number:02}", "", "", "", long_ago, "") for number in range(25)]
    open_runs = OpenRuns(cast("Client", None), home, "home")
    turns = [open_runs.turn(marked, datetime.now(UTC)) for _ in range(5)]
    asked = [marker.run_id for turn in turns for marker in turn]
    assert {len(turn) for turn in turns} == {10}
    assert asked == [f"run-{number % 25:02}" for number in range(50)]
