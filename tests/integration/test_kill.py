"""kill -9 of every part, in every phase of a run: it ends by itself, once, and nothing finished is paid again."""

from __future__ import annotations

import os
import signal

import pytest

from sagaflow_mcp import engine_client
from sagaflow_mcp.testing import LocalSagaflow
from tests.phases import SKILLS, ThreeRuns, left_behind


@pytest.mark.parametrize(
    "victims",
    [("worker",), ("server",), ("server", "worker"), ("engine",), ("engine", "server", "worker")],
    ids="+".join,
)
def test_runs_go_on_after_kill_9(victims: tuple[str, ...]) -> None:
    """In a model call, in a workflow task, idle: a call in flight is made again at most once, a finished one never."""
    with LocalSagaflow(skills=[SKILLS]) as local:
        runs = ThreeRuns(local)
        runs.wait_until_halted()
        for pid in [local.pid(part) for part in victims]:
            os.kill(pid, signal.SIGKILL)
        runs.let_go()
        runs.ends()
        assert len(runs.asked("call")) <= 3 + ("worker" in victims)
        assert len(runs.asked("task")) == len(runs.asked("idle")) == 3
        engine_client.stop(local.settings.home)
        assert left_behind(local) == []
