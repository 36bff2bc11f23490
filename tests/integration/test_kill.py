"""kill -9 of every part during a model call: the run ends by itself, once, and nothing finished is paid again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from sagaflow_mcp.testing import LocalSagaflow, Rule

STORY = Path(__file__).parents[2] / "sagaflow_mcp" / "demo_skill"


def answers(local: LocalSagaflow) -> None:
    """Let the model answer the first step at once and hold the second one until it is released."""
    local.model.add(
        Rule(match="Write the outline", reply="STRUCTURED_OUTPUT_START\nTEXT|an outline\nSTRUCTURED_OUTPUT_END"),
        Rule(match="Write a draft", reply="STRUCTURED_OUTPUT_START\nTEXT|a draft\nSTRUCTURED_OUTPUT_END", hold="draft"),
        Rule(match="Polish", reply="STRUCTURED_OUTPUT_START\nTEXT|a story\nSTRUCTURED_OUTPUT_END"),
    )


@pytest.mark.parametrize(
    "victims",
    [("worker",), ("server",), ("server", "worker"), ("engine",), ("engine", "server", "worker")],
    ids="+".join,
)
def test_a_run_goes_on_after_kill_9_in_the_middle_of_a_model_call(victims: tuple[str, ...]) -> None:
    """The run ends with one entry; the finished step is not called again, the one in flight at most once per kill."""
    with LocalSagaflow(skills=[STORY]) as local:
        answers(local)
        run_id = local.launch("story")
        local.model.wait_for_requests(2, seconds=20)
        for pid in [local.pid(part) for part in victims]:
            os.kill(pid, signal.SIGKILL)
        if "worker" in victims:
            # The call is made again by the next worker: only then may the answer come.
            local.model.wait_for_requests(3, seconds=40)
        local.model.release("draft")
        run = local.wait(run_id)
        assert (run.state, run.result) == ("DONE", "a story")
        assert [entry.status for entry in local.inbox(run_id)] == ["DONE"]
        asked = [str(request.body["messages"][-1]["content"]) for request in local.model.requests]
        assert sum("Write the outline" in each for each in asked) == 1
        assert len(asked) <= 3 + ("worker" in victims)
