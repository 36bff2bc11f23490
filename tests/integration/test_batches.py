"""Prompts of many lanes to a model that answers at once: asked together, and each as safe as one asked by itself."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import artifacts
from sagaflow_mcp.testing import Error, LocalSagaflow, Rule
from tests.integration.clients import with_client

if TYPE_CHECKING:
    from temporalio.client import Client

    from sagaflow_mcp.runs import Run

COUNT = 200
"""Prompts of a run. The first lanes ask each for itself: nothing is known of the model then."""

LATE = 150
"""One that is asked when the model has answered at once for a while."""

EVENTS = 3 * COUNT
"""What a step for each prompt would leave in the history at least."""

WHOLE = [f"got {item}" for item in range(COUNT)]


@pytest.fixture(autouse=True)
def quick(local: LocalSagaflow) -> None:
    """The model answers at once."""
    local.model.replace(Rule(match=r"Item (\d+)", reply="got ${1}"))


def set_apart(local: LocalSagaflow, **late: object) -> int:
    """Let the model answer the late prompt otherwise; how many requests there are so far."""
    local.model.replace(Rule(match=f"Item {LATE}$", **late), Rule(match=r"Item (\d+)", reply="got ${1}"))  # type: ignore[arg-type]
    return len(local.model.requests)


def asked(local: LocalSagaflow, since: int) -> Counter[str]:
    """How often the model was asked each prompt."""
    return Counter(each.body["messages"][-1]["content"] for each in local.model.requests[since:])


def once_each(but: int = 1) -> dict[str, int]:
    """Each prompt once, and the late one `but` times."""
    return {f"Item {item}": but if item == LATE else 1 for item in range(COUNT)}


def length(local: LocalSagaflow, run: Run) -> int:
    """How many events the history of the run has."""

    async def described(client: Client) -> int:
        """Ask the server."""
        return (await client.get_workflow_handle(run.run_id).describe()).history_length

    found: int = with_client(local, described)
    return found


def test_an_instant_model_is_asked_in_batches(local: LocalSagaflow) -> None:
    """The history does not grow by a step for each, and the transcript has each with its tokens."""
    since = len(local.model.requests)
    run = local.wait(local.launch("one-function", what="map", count=COUNT))
    assert run.result == WHOLE
    assert asked(local, since) == once_each()
    assert length(local, run) < EVENTS
    finished = [each for each in artifacts.events(Path(run.run_dir)) if each["event"] == "step_finished"]
    of_prompts = [each for each in finished if each["label"] == "one"]
    assert len({each["step"] for each in of_prompts}) == len(of_prompts) == COUNT
    assert all(each["tokens"][0]["output"] and each["seconds"] < 60 for each in of_prompts)


def test_a_reply_that_takes_its_time_is_waited_for_and_not_asked_again(local: LocalSagaflow) -> None:
    """It holds up no other prompt."""
    since = set_apart(local, reply=f"got {LATE}", hold="batch")
    run_id = local.launch("one-function", what="map", count=COUNT)
    local.model.wait_for_requests(since + COUNT, 30)
    local.model.release("batch")
    assert local.wait(run_id).result == WHOLE
    assert asked(local, since) == once_each()


def test_a_kill_makes_no_reply_that_came_be_asked_again(local: LocalSagaflow) -> None:
    """All but the one in flight at the kill are there already."""
    since = set_apart(local, reply=f"got {LATE}", hold="kill")
    run_id = local.launch("one-function", what="map", count=COUNT)
    local.model.wait_for_requests(since + COUNT, 30)
    os.kill(local.pid("worker"), signal.SIGKILL)
    local.model.release("kill")
    assert local.wait(run_id).result == WHOLE
    found = asked(local, since)
    assert found[f"Item {LATE}"] == 2
    assert found.total() <= COUNT + 1 + 20, "at most what was in flight in 20 lanes"


@pytest.mark.parametrize(("error", "times"), [(Error(), 2), (Error(status=400, type="invalid_request_error"), 1)])
def test_a_failure_counts_as_it_does_anywhere(local: LocalSagaflow, error: Error, times: int) -> None:
    """One that may pass is tried again, as often as the policy says; the other ends the step."""
    since = set_apart(local, error=error, times=1)
    run = local.wait(local.launch("one-function", what="map", count=COUNT))
    assert asked(local, since) == once_each(times)
    assert (run.state == "DONE") == (times > 1)
    if times == 1:
        assert f"{LATE} ({LATE}): the model provider refused" in run.summary
