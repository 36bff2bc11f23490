"""Functions that go on for long: in several executions, and through every kill."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sagaflow_mcp import answering, artifacts, engine_client, runs
from sagaflow_mcp.testing import LocalSagaflow, Rule
from tests.integration.own_temporal import FEW_EVENTS, DevServer, own_server
from tests.phases import SKILLS
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    """The steps that have finished, as often as they have."""
    return [each["step"] for each in artifacts.events(run_dir) if each["event"] == "step_finished"]


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
