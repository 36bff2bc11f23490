"""The figures of steps: what one of ours costs, against a bare remote activity on the same server."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from sagaflow_mcp import engine_client, temporal
from tests.benchmarks.counterpart import Counterpart
from tests.benchmarks.figures import Figure, in_turns

if TYPE_CHECKING:
    from sagaflow_mcp.testing import LocalSagaflow

ARTIFACTS = 50
"""Files that a measured run writes."""

CALLS = 30
"""Model calls that a measured run makes."""


def artifact(local: LocalSagaflow, rounds: int) -> list[Figure]:
    """A step of `write_artifact` against a bare activity on the workflow's own queue."""
    with Counterpart(address(local), local.environment()) as bare:
        found = in_turns(
            rounds,
            ours=partial(_step, local, ARTIFACTS, artifacts=ARTIFACTS),
            bare=partial(bare.seconds, "same", ARTIFACTS),
        )
    note = f"each of {ARTIFACTS}, launch and ending included"
    return [Figure("write_artifact step", _ms(found["ours"]), "ms", _ms(found["bare"]), 0.3, note=note)]


def model(local: LocalSagaflow, rounds: int) -> list[Figure]:
    """A step of `spawn_subagent`, less a model call's own time, against a bare activity on another queue."""
    with Counterpart(address(local), local.environment()) as bare:
        found = in_turns(
            rounds,
            ours=partial(_step, local, CALLS, calls=CALLS),
            bare=partial(bare.seconds, "other", CALLS),
            model=partial(bare.seconds, "model", CALLS),
        )
    beyond = [whole - call for whole, call in zip(found["ours"], found["model"], strict=True)]
    return [
        Figure(
            "model step beyond the model",
            _ms(beyond),
            "ms",
            _ms(found["bare"]),
            1.5,
            note=f"each of {CALLS}, launch and ending included",
        ),
        Figure("the model call itself", _ms(found["model"]), "ms"),
    ]


def _step(local: LocalSagaflow, count: int, **arguments: Any) -> float:
    """The seconds that each of `count` steps took, as the server tells of the whole run."""
    run_id = local.launch("bench", **arguments)
    run = local.wait(run_id)
    if run.state != "DONE":
        raise RuntimeError(f"the measured run ended {run.state}: {run.summary}")
    return anyio.run(run_seconds, local, run_id) / count


async def run_seconds(local: LocalSagaflow, run_id: str) -> float:
    """How long a run took, as the server tells."""
    client = await temporal.connect(local.settings.home, address(local))
    found = await client.get_workflow_handle(run_id).describe()
    assert found.close_time is not None
    return (found.close_time - found.start_time).total_seconds()


def address(local: LocalSagaflow) -> str:
    """Where its Temporal server is."""
    return engine_client.ready(local.settings.home, environ=local.settings.for_engine())


def _ms(seconds: list[float]) -> list[float]:
    return [each * 1000 for each in seconds]
