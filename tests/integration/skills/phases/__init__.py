"""A skill that stands still in the middle of a model call, of a workflow task, or of nothing at all."""

from typing import Any

from sagaflow_mcp.durable.activities import spawn_subagent, write_artifact
from sagaflow_mcp.registry import SkillRegistry, SkillSpec

from .workflow import Phases, PhasesWorkflow, hold


def build_input(*, run_id: str, run_dir: str, inbox_path: str, cli_args: dict[str, Any]) -> Phases:
    """The workflow's input: the arguments as they are."""
    del run_id, run_dir, inbox_path
    return Phases(**cli_args)


def register(registry: SkillRegistry) -> None:
    """Tell Sagaflow what to run."""
    registry.register(
        SkillSpec(
            name="phases",
            workflow_cls=PhasesWorkflow,
            activities=[write_artifact, spawn_subagent, hold],
            build_input=build_input,
        )
    )
