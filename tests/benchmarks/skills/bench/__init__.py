"""The skill that is measured: any number of steps of one kind, one after another."""

from typing import Any

from pydantic import BaseModel, Field

from sagaflow_mcp.durable.activities import spawn_subagent, write_artifact
from sagaflow_mcp.registry import SkillRegistry, SkillSpec

from .workflow import BenchInput, BenchWorkflow


class Arguments(BaseModel):
    """What a launch may say."""

    artifacts: int = Field(default=0, description="Files to write.")
    calls: int = Field(default=0, description="Model calls to make.")
    prompt: str = Field(default="bench", description="What the model is told.")


def build_input(*, run_id: str, run_dir: str, inbox_path: str, cli_args: dict[str, Any]) -> BenchInput:
    """The workflow's input: the arguments as they are."""
    del run_id, run_dir, inbox_path
    return BenchInput(**cli_args)


def register(registry: SkillRegistry) -> None:
    """Tell Sagaflow what to run."""
    registry.register(
        SkillSpec(
            name="bench",
            workflow_cls=BenchWorkflow,
            activities=[write_artifact, spawn_subagent],
            build_input=build_input,
            arguments=Arguments,
        )
    )
