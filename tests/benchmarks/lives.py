"""The figures of starting and dying: from nothing to the first step, and from kill -9 to the next one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from datetime import datetime
from pathlib import Path

from sagaflow_mcp import artifacts
from sagaflow_mcp.testing import LocalSagaflow, Rule
from tests.benchmarks.commands import SAGAFLOW
from tests.benchmarks.figures import Figure

SKILLS = Path(__file__).parent / "skills"

LIMIT_SECONDS = 60
"""How long anything measured here may take before it counts as broken."""

VICTIMS = {
    "the worker": ("worker",),
    "the server": ("server",),
    "server and worker": ("server", "worker"),
    "engine, server and worker": ("engine", "server", "worker"),
}
"""What is killed, in this order."""

BARS = {"the worker": (3.0, 12.0), "the server": (3.0, None)}
"""The most seconds in the median and at worst."""


def cold(rounds: int) -> list[Figure]:
    """From `sagaflow launch` in a home that never was, until a step begins and until the model is asked."""
    found = [_cold() for _ in range(rounds)]
    step, request, accepted = ([each[column] for each in found] for column in range(3))
    return [
        Figure("cold start to first step", step, "s", bar=5, note="by the transcript"),
        Figure("cold start to first model request", request, "s", bar=5),
        Figure("cold sagaflow launch, until it returns", accepted, "s"),
    ]


def _cold() -> tuple[float, float, float]:
    with LocalSagaflow(skills=[SKILLS]) as local:
        began = time.time()  # Not a clock of this process alone: the other times are written down by others.
        command = [SAGAFLOW, "launch", "bench", "--calls", "1", "--id", "cold"]
        subprocess.run(command, env=local.environment(), stdout=subprocess.DEVNULL, timeout=LIMIT_SECONDS, check=True)
        accepted = time.time()
        (request,) = local.model.wait_for_requests(1, LIMIT_SECONDS)
        local.wait("cold", LIMIT_SECONDS)
        events = artifacts.events(Path(local.settings.home.run("cold")))
        step = next(event["at"] for event in events if event["event"] == "step_started")
        return _moment(step) - began, _moment(request.received_at) - began, accepted - began


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def recovery(rounds: int) -> list[Figure]:
    """From kill -9 during a model call until the model is asked again, or for the next step."""
    found: dict[str, list[float]] = {name: [] for name in VICTIMS}
    for _ in range(rounds):
        for name, victims in VICTIMS.items():
            found[name].append(_recovery(victims))
    return [
        Figure(
            f"kill -9 of {name} to moving again",
            values,
            "s",
            bar=median,
            worst_bar=worst,
        )
        for name, values in found.items()
        for median, worst in [BARS.get(name, (None, None))]
    ]


def _recovery(victims: tuple[str, ...]) -> float:
    # A home for each: a part that is killed again and again within seconds is started with pauses.
    with LocalSagaflow(skills=[SKILLS]) as local:
        local.model.add(Rule(times=1), Rule(times=1, hold="second"))
        run_id = local.launch("bench", calls=3)
        local.model.wait_for_requests(2, LIMIT_SECONDS)
        pids = [local.pid(part) for part in victims]
        began = time.perf_counter()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        if "worker" not in victims:
            # The call in flight lives on; the run moves again when its answer has reached the server.
            local.model.release("second")
        local.model.wait_for_requests(3, LIMIT_SECONDS)
        took = time.perf_counter() - began
        run = local.wait(run_id, LIMIT_SECONDS)
        if run.state != "DONE":
            raise RuntimeError(f"the run did not survive: {run.state} {run.summary}")
        return took
