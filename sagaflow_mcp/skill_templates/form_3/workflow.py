"""The workflow of new-skill: write the prompt down, ask the model, report."""

from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow

# These modules hold no state of a run, so all runs share them.
with workflow.unsafe.imports_passed_through():
    from sagaflow_mcp.durable.activities import (
        EmitFindingInput,
        SpawnSubagentInput,
        WriteArtifactInput,
    )
    from sagaflow_mcp.durable.retry_policies import SONNET_POLICY

QUICK = timedelta(seconds=10)
"""For a step that only writes a file."""

MODEL_CALL = timedelta(minutes=10)
"""For one call of a model, a slow one included."""

HEARTBEAT = timedelta(seconds=12)
"""How long a model call may be silent until it is taken for lost."""


@dataclass(frozen=True)
class Input:
    """Everything a run needs."""

    run_id: str
    run_dir: str
    inbox_path: str
    system_prompt: str
    user_prompt: str


@workflow.defn
class NewSkillWorkflow:
    """One sentence."""

    @workflow.run
    async def run(self, given: Input) -> str:
        """The sentence."""
        prompt_path = f"{given.run_dir}/prompt.txt"
        await workflow.execute_activity(
            "write_artifact",
            WriteArtifactInput(path=prompt_path, content=given.user_prompt),
            start_to_close_timeout=QUICK,
            retry_policy=SONNET_POLICY,
        )
        reply: dict[str, str] = await workflow.execute_activity(
            "spawn_subagent",
            SpawnSubagentInput(
                role="writer",
                tier_name="SONNET",
                system_prompt=given.system_prompt,
                user_prompt_path=prompt_path,
                max_tokens=1024,
            ),
            start_to_close_timeout=MODEL_CALL,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=SONNET_POLICY,
        )
        sentence = reply["SENTENCE"]
        await workflow.execute_activity(
            "emit_finding",
            EmitFindingInput(
                inbox_path=given.inbox_path,
                run_id=given.run_id,
                skill="new-skill",
                status="DONE",
                summary=sentence,
                timestamp_iso=workflow.now().isoformat(timespec="seconds"),
            ),
            start_to_close_timeout=QUICK,
            retry_policy=SONNET_POLICY,
        )
        return sentence
