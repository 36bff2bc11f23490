"""The skill new-skill: what a launch may say, and what is run then."""

from typing import Any

from pydantic import BaseModel, Field
from sagaflow_mcp.durable.activities import emit_finding, spawn_subagent, write_artifact
from sagaflow_mcp.prompts import load_prompt
from sagaflow_mcp.registry import SkillRegistry, SkillSpec

from . import workflow


class Arguments(BaseModel):
    """What a launch may say."""

    topic: str = Field(default="rain", description="What is explained.")


def build_input(
    *,
    run_id: str,
    run_dir: str,
    inbox_path: str,
    cli_args: dict[str, Any],
) -> workflow.Input:
    """The workflow's input, with the prompts as they are at launch."""
    return workflow.Input(
        run_id=run_id,
        run_dir=run_dir,
        inbox_path=inbox_path,
        system_prompt=load_prompt(__file__, "writer.system"),
        user_prompt=load_prompt(__file__, "writer.user", substitutions=cli_args),
    )


def register(registry: SkillRegistry) -> None:
    """Tell Sagaflow what to run."""
    registry.register(
        SkillSpec(
            name="new-skill",
            workflow_cls=workflow.NewSkillWorkflow,
            activities=[write_artifact, spawn_subagent, emit_finding],
            build_input=build_input,
            arguments=Arguments,
        )
    )
