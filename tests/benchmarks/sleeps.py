"""The figures of sleep in a test that skips time: from launch to ending, and after a kill in the middle of it."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp.testing import LocalSagaflow
from tests.benchmarks.figures import Figure
from tests.integration.clients import timers
from tests.waiting import eventually

if TYPE_CHECKING:
    from sagaflow_mcp.runs import Run

SKILLS = Path(__file__).parent / "skills"

DAYS = 3
"""How long the measured runs sleep."""


def figures(rounds: int) -> list[Figure]:
    """In a home that is up; a killed worker's successor is up before time is skipped."""
    with LocalSagaflow(skills=[SKILLS]) as local:
        whole = [_whole(local) for _ in range(rounds + 1)][1:]  # The first one starts everything.
    return [
        Figure(f"sleep of {DAYS} days, time skipped", whole, "s", bar=1, note="launch and ending included"),
        Figure(f"sleep of {DAYS} days after kill -9 in it", [_killed() for _ in range(rounds)], "s", bar=1),
    ]


def _whole(local: LocalSagaflow) -> float:
    began = time.perf_counter()
    run = local.wait(local.launch("nap", days=DAYS, skip_time=True))
    took = time.perf_counter() - began
    _check(run)
    return took


def _killed() -> float:
    # A home for each: a worker that is killed again and again within seconds is started with pauses.
    with LocalSagaflow(skills=[SKILLS]) as local:
        run_id = local.launch("nap", days=DAYS)
        eventually(lambda: timers(local, run_id), "the run sleeps")
        local.kill_worker()
        began = time.perf_counter()
        local.skip_time(run_id)
        run = local.wait(run_id)
        took = time.perf_counter() - began
        _check(run)
        return took


def _check(run: Run) -> None:
    """RuntimeError unless the run slept so long by its own clock, and not twice."""
    slept = datetime.fromisoformat(run.closed_at) - datetime.fromisoformat(run.created_at)
    if run.state != "DONE" or not timedelta(days=DAYS) <= slept < timedelta(days=DAYS, hours=1):
        raise RuntimeError(f"the measured run ended {run.state} after {slept}: {run.summary}")
