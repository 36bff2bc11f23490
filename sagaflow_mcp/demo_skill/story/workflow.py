"""Outline, draft, polish: each step is finished for good before the next begins."""

from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from sagaflow_mcp.durable.activities import EmitFindingInput, SpawnSubagentInput, WriteArtifactInput
    from sagaflow_mcp.durable.retry_policies import HAIKU_POLICY

STEPS = ("outline", "draft", "polish")


@dataclass(frozen=True)
class StoryInput:
    """What the workflow is started with."""

    run_id: str
    topic: str
    system_prompt: str
    prompts: dict[str, str]


@workflow.defn(name="StoryWorkflow")
class StoryWorkflow:
    """Writes a story in three steps."""

    @workflow.run
    async def run(self, given: StoryInput) -> str:
        """The polished story."""
        text = given.topic
        for step in STEPS:
            text = await self._step(given, step, text)
        await workflow.execute_activity(
            "emit_finding",
            EmitFindingInput(
                inbox_path="",
                run_id=given.run_id,
                skill="story",
                status="DONE",
                summary=text,
                timestamp_iso=workflow.now().isoformat(timespec="seconds"),
            ),
            start_to_close_timeout=timedelta(seconds=10),
        )
        return text

    async def _step(self, given: StoryInput, step: str, so_far: str) -> str:
        path = await workflow.execute_activity(
            "write_artifact",
            WriteArtifactInput(path=f"{step}.txt", content=f"{given.prompts[step]}\n\n{so_far}"),
            start_to_close_timeout=timedelta(seconds=10),
            result_type=str,
        )
        reply: dict[str, str] = await workflow.execute_activity(
            "spawn_subagent",
            SpawnSubagentInput(
                role=step, tier_name="HAIKU", system_prompt=given.system_prompt, user_prompt_path=path, max_tokens=512
            ),
            start_to_close_timeout=timedelta(minutes=10),
            heartbeat_timeout=timedelta(seconds=12),
            retry_policy=HAIKU_POLICY,
            result_type=dict[str, str],
        )
        return reply["TEXT"]
