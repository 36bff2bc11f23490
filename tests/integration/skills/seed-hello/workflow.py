"""Greets somebody, and says which edition of this file did it."""

from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from sagaflow.durable.activities import EmitFindingInput, SpawnSubagentInput, WriteArtifactInput
    from sagaflow.durable.retry_policies import HAIKU_POLICY


@dataclass(frozen=True)
class SeedInput:
    """What the workflow is started with."""

    run_id: str
    run_dir: str
    inbox_path: str
    system_prompt: str
    user_prompt: str


@workflow.defn(name="SeedWorkflow")
class SeedWorkflow:
    """One model call between an artifact and a finding."""

    @workflow.run
    async def run(self, inp: SeedInput) -> str:
        """The greeting with the edition."""
        path = f"{inp.run_dir}/prompt.txt"
        await workflow.execute_activity(
            "write_artifact",
            WriteArtifactInput(path=path, content=inp.user_prompt),
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=HAIKU_POLICY,
        )
        parsed = await workflow.execute_activity(
            "spawn_subagent",
            SpawnSubagentInput(
                role="greeter",
                tier_name="HAIKU",
                system_prompt=inp.system_prompt,
                user_prompt_path=path,
                max_tokens=64,
                tools_needed=False,
            ),
            start_to_close_timeout=timedelta(seconds=600),
            heartbeat_timeout=timedelta(seconds=120),
            retry_policy=HAIKU_POLICY,
        )
        greeting = parsed["GREETING"] + " (EDITION)"
        await workflow.execute_activity(
            "emit_finding",
            EmitFindingInput(
                inbox_path=inp.inbox_path,
                run_id=inp.run_id,
                skill="seed-hello",
                status="DONE",
                summary=greeting,
                timestamp_iso=workflow.now().isoformat(timespec="seconds"),
            ),
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=HAIKU_POLICY,
        )
        return greeting
