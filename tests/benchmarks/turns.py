"""The figure of agents: what a turn with a tool call costs beyond the model, against two bare remote activities."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from sagaflow_mcp import launch
from sagaflow_mcp.testing import Rule, ToolUse
from tests.benchmarks import steps
from tests.benchmarks.counterpart import Counterpart
from tests.benchmarks.figures import Figure, in_turns

if TYPE_CHECKING:
    from sagaflow_mcp.testing import LocalSagaflow

TURNS = 40
"""Of a measured agent; each but the last reads a file of 20 KB."""

LINES = 1_000


def figures(local: LocalSagaflow, rounds: int) -> list[Figure]:
    """In a home that is up; the offline model answers at once."""
    with tempfile.TemporaryDirectory() as project, Counterpart(steps.address(local), local.environment()) as bare:
        Path(project, "file.txt").write_text("twenty characters..\n" * LINES, encoding="utf-8")
        found = in_turns(
            rounds,
            ours=partial(_turn, local, project),
            one=partial(bare.seconds, "same", TURNS),
            other=partial(bare.seconds, "other", TURNS),
            model=partial(bare.seconds, "model", TURNS),
        )
    local.model.replace()
    beyond = [1000 * (whole - call) for whole, call in zip(found["ours"], found["model"], strict=True)]
    two = [1000 * (one + other) for one, other in zip(found["one"], found["other"], strict=True)]
    note = f"each of {TURNS}, with a call of read_file; launch and ending included"
    return [Figure("agent turn beyond the model", beyond, "ms", two, 1.3, note=note)]


def _turn(local: LocalSagaflow, project: str) -> float:
    """The seconds that each turn took, with the call in it."""
    local.model.replace(
        Rule(tools=(ToolUse(name="read_file", input={"path": "file.txt"}),), times=TURNS - 1), Rule(reply="done")
    )
    request = launch.Request("reader", {"turns": TURNS}, project_dir=project)
    run = local.wait(anyio.run(launch.launch, local.settings, request).run_id)
    if run.result != "done":
        raise RuntimeError(f"the measured run ended {run.state}: {run.summary}")
    return anyio.run(steps.run_seconds, local, run.run_id) / TURNS
