"""The workflow of hello-world: write the prompt down, ask the model, report the greeting."""

from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow

# These modules hold no state of a run, so all runs share them.
with workflow.unsafe.imports_passed_through():
    from sagaflow_mcp.durable.activities import EmitFindingInput, SpawnSubagentInput, WriteArtifactInput
    from sagaflow_mcp.durable.retry_policies import HAIKU_POLICY

QUICK = timedelta(seconds=10)
"""For a step that only writes a file."""

MODEL_CALL = timedelta(minutes=10)
"""For one call of a model, a slow one included."""


@dataclass(frozen=True)
class HelloWorldInput:
    """Everything a greeting needs."""

    run_id: str
    run_dir: str
    inbox_path: str
    system_prompt: str
    user_prompt: str


@workflow.defn(name="HelloWorldWorkflow")
class HelloWorldWorkflow:
    """One greeting."""

    @workflow.run
    async def run(self, given: HelloWorldInput) -> str:
        """The greeting."""
        prompt_path = f"{given.run_dir}/prompt.txt"
        await workflow.execute_activity(
            "write_artifact",
            WriteArtifactInput(path=prompt_path, content=given.user_prompt),
            start_to_close_timeout=QUICK,
            retry_policy=HAIKU_POLICY,
        )
        reply: dict[str, str] = await workflow.execute_activity(
            "spawn_subagent",
            SpawnSubagentInput(
                role="greeter",
                tier_name="HAIKU",
                system_prompt=given.system_prompt,
                user_prompt_path=prompt_path,
                max_tokens=64,
            ),
            start_to_close_timeout=MODEL_CALL,
            heartbeat_timeout=timedelta(seconds=12),
            retry_policy=HAIKU_POLICY,
        )
        greeting = reply.get("GREETING", "hello")
        await workflow.execute_activity(
            "emit_finding",
            EmitFindingInput(
                inbox_path=given.inbox_path,
                run_id=given.run_id,
                skill="hello-world",
                status="DONE",
                summary=greeting,
                timestamp_iso=workflow.now().isoformat(timespec="seconds"),
            ),
            start_to_close_timeout=QUICK,
            retry_policy=HAIKU_POLICY,
        )
        return greeting
