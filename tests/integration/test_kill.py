"""kill -9 of every part, in every phase of a run: it ends by itself, once, and nothing finished is paid again."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sagaflow_mcp import engine_client, launch
from sagaflow_mcp.testing import Rule
from tests.phases import ThreeRuns, left_behind

if TYPE_CHECKING:
    from temporalio.client import Client

    from sagaflow_mcp.testing import LocalSagaflow


@pytest.mark.parametrize(
    "kills",
    [
        (("worker",), ("engine", "server", "worker"), ("engine",)),
        pytest.param((("server",), ("server", "worker")), marks=pytest.mark.long),
    ],
    ids=lambda kills: ", ".join(map("+".join, kills)),
)
def test_runs_go_on_after_kill_9(local: LocalSagaflow, kills: tuple[tuple[str, ...], ...]) -> None:
    """In a model call, in a workflow task, idle: a call in flight is made again at most once, a finished one never."""
    for victims in kills:
        runs = ThreeRuns(local)
        runs.wait_until_halted()
        for pid in [local.pid(part) for part in victims]:
            os.kill(pid, signal.SIGKILL)
        runs.let_go()
        runs.ends()
        assert len(runs.asked("call")) <= 3 + ("worker" in victims), victims
        assert len(runs.asked("task")) == len(runs.asked("idle")) == 3, victims
    engine_client.stop(local.settings.home)
    assert left_behind(local) == []


def test_a_launch_goes_on_whose_worker_dies_before_the_run_is_started(
    local: LocalSagaflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next worker takes the skill although Temporal knows of no open run of it yet."""
    connected = launch._connected  # noqa: SLF001 - the last moment before the start

    async def with_another(*given: Any) -> Client:
        """The client, once another worker has taken over."""
        client = await connected(*given)
        await anyio.to_thread.run_sync(local.kill_worker)
        return client

    monkeypatch.setattr(launch, "_connected", with_another)
    local.model.replace(Rule(reply="ok"))
    assert local.wait(local.launch("lanes", lanes=1, steps=1)).result == 1
