"""A workflow of one step, which has one attempt, or two if it hangs."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from sagaflow_mcp.durable.activities import SpawnSubagentInput, WriteArtifactInput


@dataclass(frozen=True)
class Patient:
    """Which step to take."""

    how: str


@activity.defn
async def hanging() -> None:
    """A step that never ends by itself."""
    await asyncio.Event().wait()


@activity.defn
async def unreadable() -> None:
    """A step whose failure quotes a file name that is not Unicode."""
    raise FileNotFoundError("there is no caf\udce9 in the step")


@workflow.defn
class PatientWorkflow:
    """Takes one step."""

    @workflow.run
    async def run(self, given: Patient) -> str:
        """What the model says, where it is asked."""
        if given.how == "hang":
            await workflow.execute_activity(
                hanging,
                start_to_close_timeout=timedelta(seconds=1),
                retry_policy=RetryPolicy(maximum_attempts=2, initial_interval=timedelta(milliseconds=10)),
            )
        if given.how == "unreadable step":
            await workflow.execute_activity(
                unreadable, start_to_close_timeout=timedelta(seconds=10), retry_policy=RetryPolicy(maximum_attempts=1)
            )
        if given.how == "unreadable workflow":
            raise FileNotFoundError("there is no caf\udce9 in the workflow")
        path = await workflow.execute_activity(
            "write_artifact",
            WriteArtifactInput(path="prompt.txt", content="Be patient"),
            start_to_close_timeout=timedelta(seconds=10),
            result_type=str,
        )
        reply: dict[str, str] = await workflow.execute_activity(
            "spawn_subagent",
            SpawnSubagentInput(role="asker", tier_name="HAIKU", system_prompt="", user_prompt_path=path),
            start_to_close_timeout=timedelta(minutes=5),
            heartbeat_timeout=timedelta(seconds=4),
            retry_policy=RetryPolicy(maximum_attempts=1),
            result_type=dict[str, str],
        )
        return reply["RESPONSE"]
