"""A step's attempts: only those count that ended by its own fault."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from sagaflow_mcp import artifacts, engine_client, processes, temporal
from sagaflow_mcp.testing import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagaflow_mcp.testing import LocalSagaflow


class Asking:
    """A run of `local` whose only model call is in flight: the model keeps its answer back until it is released."""

    def __init__(self, local: LocalSagaflow) -> None:
        self._local = local
        self._before = len(local.model.requests)
        self._hold = f"answer {self._before}"
        local.model.replace(Rule(match="Be patient", reply="here it is", hold=self._hold))
        self.run_id = local.launch("patient", how="ask")
        self.wait_for_requests(1)

    def wait_for_requests(self, count: int) -> None:
        """Return once the model was asked so often."""
        self._local.model.wait_for_requests(self._before + count, seconds=20)

    def ends_well(self) -> None:
        """Let the model answer, and see the run end with the answer."""
        self._local.model.release(self._hold)
        run = self._local.wait(self.run_id)
        assert (run.state, run.result) == ("DONE", "here it is"), run.summary


def test_a_stop_of_the_engine_uses_up_no_attempt(local: LocalSagaflow) -> None:
    """A step with a single attempt runs again after the engine was stopped and started."""
    asking = Asking(local)
    engine_client.stop(local.settings.home)
    engine_client.ready(local.settings.home, environ=local.settings.for_engine())
    asking.wait_for_requests(2)
    asking.ends_well()


def test_an_outage_uses_up_no_attempt(local: LocalSagaflow) -> None:
    """Engine and worker are gone for longer than the step's heartbeat timeout; its single attempt is made again."""
    asking = Asking(local)
    home = local.settings.home
    address = engine_client.ready(home)
    worker = local.pid("worker")
    keeper = processes.Place(home.engine, "keeper").recorded_pid()
    assert keeper is not None
    for pid in (keeper, local.pid("engine"), worker):
        os.kill(pid, signal.SIGKILL)
    given_up(local, address, asking.run_id)
    engine_client.ready(home, environ=local.settings.for_engine())
    asking.wait_for_requests(2)
    asking.ends_well()


def test_a_sleep_uses_up_no_attempt(local: LocalSagaflow) -> None:
    """The worker is stopped for longer than the step's heartbeat timeout, as when a laptop sleeps."""
    asking = Asking(local)
    address = engine_client.ready(local.settings.home)
    with stopped(local.pid("worker")):
        given_up(local, address, asking.run_id)
    asking.ends_well()


def test_a_step_that_hangs_is_given_up(local: LocalSagaflow) -> None:
    """Attempts that take too long do count."""
    run = local.wait(local.launch("patient", how="hang"))
    assert (run.state, run.summary) == ("FAILED", "gave up: attempt 2 of 2 took too long")


@pytest.mark.parametrize("place", ["step", "workflow"])
def test_a_failure_that_is_not_unicode_keeps_its_reason(local: LocalSagaflow, place: str) -> None:
    """A file name in another encoding, quoted by an exception, hides nothing."""
    run = local.wait(local.launch("patient", how=f"unreadable {place}"))
    assert run.state == "FAILED"
    assert run.summary == f"FileNotFoundError: there is no caf\\udce9 in the {place}"


def test_a_reply_without_a_block_is_warned_of(local: LocalSagaflow) -> None:
    """The run goes on with the whole reply as one field, and its transcript says so."""
    local.model.replace(Rule(match="Be patient", reply="here it is"))
    run_id = local.launch("patient", how="ask")
    assert local.wait(run_id).result == "here it is"
    events = list(artifacts.events(Path(local.settings.home.run(run_id))))
    warned = [event["warning"] for event in events if event["event"] == "step_warned"]
    assert warned == ["the reply to 'asker' has no structured block; all of it is the field RESPONSE"]


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process `pid` does nothing in the body."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def given_up(local: LocalSagaflow, address: str, run_id: str) -> None:
    """Return when Temporal has taken the step in flight for lost."""

    async def wait() -> None:
        """Ask Temporal until it says so."""
        client = await temporal.connect(local.settings.home, address)
        with anyio.fail_after(20):
            while True:
                description = await client.get_workflow_handle(run_id).describe()
                (step,) = description.raw_description.pending_activities
                if step.attempt > 1:
                    return
                await anyio.sleep(0.05)

    anyio.run(wait)
