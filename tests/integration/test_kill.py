"""kill -9 of every part, in every phase of a run: it ends by itself, once, and nothing finished is paid again."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sagaflow_mcp import engine_client, launch
from sagaflow_mcp.testing import LocalSagaflow, Rule
from tests.phases import SKILLS, ThreeRuns, left_behind

if TYPE_CHECKING:
    from temporalio.client import Client


@pytest.mark.parametrize(
    "victims",
    [
        ("worker",),
        pytest.param(("server",), marks=pytest.mark.long),
        pytest.param(("server", "worker"), marks=pytest.mark.long),
        ("engine",),
        ("engine", "server", "worker"),
    ],
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


def test_a_launch_goes_on_whose_worker_dies_before_the_run_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next worker takes the skill although Temporal knows of no open run of it yet."""
    with LocalSagaflow(skills=[SKILLS]) as local:
        connected = launch._connected  # noqa: SLF001 - the last moment before the start

        async def with_another(*given: Any) -> Client:
            """The client, once another worker has taken over."""
            client = await connected(*given)
            await anyio.to_thread.run_sync(local.kill_worker)
            return client

        monkeypatch.setattr(launch, "_connected", with_another)
        local.model.add(Rule(reply="ok"))
        assert local.wait(local.launch("lanes", lanes=1, steps=1)).result == 1
