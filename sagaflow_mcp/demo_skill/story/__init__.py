"""The skill of `sagaflow demo`: three model calls, each built on the one before."""

from typing import Any

from sagaflow_mcp.durable.activities import emit_finding, spawn_subagent, write_artifact
from sagaflow_mcp.prompts import load_prompt
from sagaflow_mcp.registry import SkillRegistry, SkillSpec

from .workflow import STEPS, StoryInput, StoryWorkflow


def build_input(*, run_id: str, run_dir: str, inbox_path: str, cli_args: dict[str, Any]) -> StoryInput:
    """The workflow's input: the topic and the prompt of each step."""
    del run_dir, inbox_path
    return StoryInput(
        run_id=run_id,
        topic=str(cli_args.get("topic", "a lighthouse")),
        system_prompt=load_prompt(__file__, "writer.system"),
        prompts={step: load_prompt(__file__, step) for step in STEPS},
    )


def register(registry: SkillRegistry) -> None:
    """Declare the skill."""
    registry.register(
        SkillSpec(
            name="story",
            workflow_cls=StoryWorkflow,
            activities=[write_artifact, spawn_subagent, emit_finding],
            build_input=build_input,
        )
    )
