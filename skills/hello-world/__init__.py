"""The skill that greets someone: one model call as a durable workflow."""

from typing import Any

from pydantic import BaseModel, Field

from sagaflow_mcp.durable.activities import emit_finding, spawn_subagent, write_artifact
from sagaflow_mcp.prompts import load_prompt
from sagaflow_mcp.registry import SkillRegistry, SkillSpec

from .workflow import HelloWorldInput, HelloWorldWorkflow


class Arguments(BaseModel):
    """What a launch may say."""

    name: str = Field(default="world", description="Who is greeted.")


def build_input(*, run_id: str, run_dir: str, inbox_path: str, cli_args: dict[str, Any]) -> HelloWorldInput:
    """The workflow's input, with the prompts as they are at launch."""
    return HelloWorldInput(
        run_id=run_id,
        run_dir=run_dir,
        inbox_path=inbox_path,
        system_prompt=load_prompt(__file__, "greeter.system"),
        user_prompt=load_prompt(__file__, "greeter.user", substitutions={"name": cli_args["name"]}),
    )


def register(registry: SkillRegistry) -> None:
    """Tell Sagaflow what to run."""
    registry.register(
        SkillSpec(
            name="hello-world",
            workflow_cls=HelloWorldWorkflow,
            activities=[write_artifact, spawn_subagent, emit_finding],
            build_input=build_input,
            arguments=Arguments,
        )
    )
