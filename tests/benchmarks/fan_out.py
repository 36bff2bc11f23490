"""The figures of a fan-out: many prompts from one function, against bare activities in as many lanes."""

from __future__ import annotations

from functools import partial

import anyio

from sagaflow_mcp import temporal
from sagaflow_mcp.testing import LocalSagaflow, Rule
from tests.benchmarks import lives
from tests.benchmarks.counterpart import LANES, Counterpart
from tests.benchmarks.figures import Figure, in_turns, resident
from tests.benchmarks.steps import address, run_seconds

COUNT = 1000
"""Prompts of a measured run."""

MOST_SECONDS = 120
"""How long one may take before it counts as broken."""


def figures(rounds: int) -> list[Figure]:
    """A `ctx.map` of prompts to a model that answers at once: its time, its history, its worker's memory."""
    with LocalSagaflow(skills=[lives.SKILLS]) as local:
        local.model.add(Rule(match="Item", reply="done"))
        with Counterpart(address(local), local.environment()) as bare:
            events: list[float] = []
            found = in_turns(
                rounds, ours=partial(_whole, local, events), bare=lambda: COUNT * bare.seconds("lanes", COUNT)
            )
        return [
            Figure(f"map of {COUNT} prompts", found["ours"], "s", found["bare"], 1.3, note=f"{LANES} lanes"),
            Figure("its events", events, "", bar=4000),
            Figure("its worker's memory", [resident(local.pid("worker"))], "MB", bar=250),
        ]


def _whole(local: LocalSagaflow, events: list[float]) -> float:
    run_id = local.launch("fan", count=COUNT, lanes=LANES)
    run = local.wait(run_id, MOST_SECONDS)
    if run.result != COUNT:
        raise RuntimeError(f"the measured run ended {run.state}: {run.summary}")
    events.append(float(anyio.run(_events, local, run_id)))
    return anyio.run(run_seconds, local, run_id)


async def _events(local: LocalSagaflow, run_id: str) -> int:
    client = await temporal.connect(local.settings.home, address(local))
    return (await client.get_workflow_handle(run_id).describe()).history_length
