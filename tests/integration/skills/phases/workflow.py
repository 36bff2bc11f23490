"""Three model calls, with a halt after the first one that is ended from outside."""

import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from temporalio import activity, workflow

with workflow.unsafe.imports_passed_through():
    from sagaflow_mcp.durable.activities import SpawnSubagentInput, WriteArtifactInput
    from sagaflow_mcp.durable.retry_policies import HAIKU_POLICY


@dataclass(frozen=True)
class Phases:
    """Where to halt: in a `task`, while `idle`, or, in a `call`, wherever the model halts."""

    where: str
    gate: str = ""


@activity.defn
def hold(gate: str) -> None:
    """Wait until the file `gate` is there; as a local activity that is in the middle of a workflow task."""
    Path(f"{gate}.held").touch()
    deadline = time.monotonic() + 90
    while not Path(gate).exists() and time.monotonic() < deadline:
        time.sleep(0.02)


@workflow.defn
class PhasesWorkflow:
    """Asks, halts, and asks twice more."""

    def __init__(self) -> None:
        self._told = False

    @workflow.signal
    def go(self) -> None:
        """End the halt of an idle run."""
        self._told = True

    @workflow.run
    async def run(self, given: Phases) -> str:
        """All that the model said."""
        said = [await self._ask(given.where, "first")]
        if given.where == "task":
            await workflow.execute_local_activity(hold, given.gate, start_to_close_timeout=timedelta(minutes=2))
        if given.where == "idle":
            await workflow.wait_condition(lambda: self._told)
        said += [await self._ask(given.where, which) for which in ("second", "third")]
        return ", ".join(said)

    async def _ask(self, where: str, which: str) -> str:
        path = await workflow.execute_activity(
            "write_artifact",
            WriteArtifactInput(path=f"{which}.txt", content=f"{where} {which}"),
            start_to_close_timeout=timedelta(seconds=30),
            result_type=str,
        )
        reply: dict[str, str] = await workflow.execute_activity(
            "spawn_subagent",
            SpawnSubagentInput(role=which, tier_name="HAIKU", system_prompt="", user_prompt_path=path),
            start_to_close_timeout=timedelta(minutes=5),
            retry_policy=HAIKU_POLICY,
            result_type=dict[str, str],
        )
        return reply["RESPONSE"]
