"""Files to write, then model calls to make, each after the one before."""

from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from sagaflow_mcp.durable.activities import SpawnSubagentInput, WriteArtifactInput
    from sagaflow_mcp.durable.retry_policies import HAIKU_POLICY

PROMPT = "prompt.txt"


@dataclass(frozen=True)
class BenchInput:
    """How many steps of which kind."""

    artifacts: int
    calls: int
    prompt: str


@workflow.defn(name="BenchWorkflow")
class BenchWorkflow:
    """Takes the steps it is told to take."""

    @workflow.run
    async def run(self, given: BenchInput) -> int:
        """How many steps were taken."""
        for number in range(given.artifacts):
            await self._write(f"{number}.txt", "a few words\n")
        if given.calls:
            await self._write(PROMPT, given.prompt)
        for number in range(given.calls):
            await workflow.execute_activity(
                "spawn_subagent",
                SpawnSubagentInput(
                    role=f"call {number}", tier_name="HAIKU", system_prompt="Answer.", user_prompt_path=PROMPT
                ),
                start_to_close_timeout=timedelta(minutes=10),
                retry_policy=HAIKU_POLICY,
                result_type=dict[str, str],
            )
        return given.artifacts + given.calls

    async def _write(self, path: str, content: str) -> None:
        await workflow.execute_activity(
            "write_artifact",
            WriteArtifactInput(path=path, content=content),
            start_to_close_timeout=timedelta(seconds=10),
            result_type=str,
        )
