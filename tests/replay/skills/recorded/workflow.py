"""A workflow that goes through every part of the interceptor."""

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta

from temporalio import activity, workflow

with workflow.unsafe.imports_passed_through():
    from sagaflow_mcp.durable.activities import EmitFindingInput, SpawnSubagentInput, WriteArtifactInput
    from sagaflow_mcp.durable.retry_policies import HAIKU_POLICY

SOON = timedelta(seconds=30)


@dataclass(frozen=True)
class Recorded:
    """What the workflow is started with."""

    run_id: str
    part: str
    link: int = 0


@activity.defn
def double(number: int) -> int:
    """A step of the skill's own, in a thread."""
    return 2 * number


@workflow.defn
class ChildWorkflow:
    """A child of the same run."""

    @workflow.run
    async def run(self, number: int) -> int:
        """The number, doubled by a step."""
        return await workflow.execute_activity(double, number, start_to_close_timeout=SOON)


@workflow.defn
class RecordedWorkflow:
    """Goes through the part that it is told."""

    def __init__(self) -> None:
        self.words: list[str] = []

    @workflow.run
    async def run(self, given: Recorded) -> str:
        """What that part came to."""
        parts = {"steps": self.steps, "parallel": self.parallel, "child": self.child, "signals": self.signals}
        if given.part == "continue":
            return await self.continued(given)
        return await parts[given.part](given)

    async def steps(self, given: Recorded) -> str:
        """Local steps, a step of the skill's own, a model call and a finding."""
        path = await workflow.execute_activity(
            "write_artifact",
            WriteArtifactInput(path="prompt.txt", content="say something"),
            start_to_close_timeout=SOON,
            result_type=str,
        )
        reply: dict[str, str] = await workflow.execute_activity(
            "spawn_subagent",
            SpawnSubagentInput(role="speaker", tier_name="HAIKU", system_prompt="speak", user_prompt_path=path),
            start_to_close_timeout=SOON,
            heartbeat_timeout=timedelta(minutes=2),
            retry_policy=HAIKU_POLICY,
        )
        number = await workflow.execute_activity(double, 21, start_to_close_timeout=SOON, retry_policy=HAIKU_POLICY)
        for status in ("NOTE", "DONE"):
            await workflow.execute_activity(
                "emit_finding",
                EmitFindingInput(
                    inbox_path="",
                    run_id=given.run_id,
                    skill="recorded",
                    status=status,
                    summary=f"{reply['RESPONSE']} {number}",
                    timestamp_iso=workflow.now().isoformat(),
                ),
                start_to_close_timeout=SOON,
            )
        return f"{reply['RESPONSE']} {number}"

    async def parallel(self, given: Recorded) -> str:
        """The same step at the same time, more than once with the same input."""
        del given
        steps = [workflow.execute_activity(double, each % 3, start_to_close_timeout=SOON) for each in range(6)]
        return str(await asyncio.gather(*steps))

    async def child(self, given: Recorded) -> str:
        """A child workflow with a step."""
        number = await workflow.execute_child_workflow(ChildWorkflow.run, 5, id=f"{given.run_id}-child")
        return f"the child says {number}"

    async def signals(self, given: Recorded) -> str:
        """A timer, then whatever was said."""
        del given
        await workflow.sleep(timedelta(milliseconds=10))
        await workflow.wait_condition(lambda: "enough" in self.words)
        return str(self.words)

    async def continued(self, given: Recorded) -> str:
        """Three executions, each with the same step."""
        number = await workflow.execute_activity(double, 1, start_to_close_timeout=SOON)
        if given.link < 2:
            workflow.continue_as_new(replace(given, link=given.link + 1))
        return f"execution {given.link} says {number}"

    @workflow.signal
    async def say(self, word: str) -> None:
        """Remember a word."""
        self.words.append(word)
