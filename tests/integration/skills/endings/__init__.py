"""A skill that ends in every way a run can end."""

from typing import Any

from sagaflow_mcp.durable.activities import spawn_subagent, write_artifact
from sagaflow_mcp.registry import SkillRegistry, SkillSpec

from .workflow import Ending, EndingsWorkflow, broken, broken_later, deadly, leaving


def build_input(*, run_id: str, run_dir: str, inbox_path: str, cli_args: dict[str, Any]) -> Ending:
    """Which way to end."""
    del run_id, run_dir, inbox_path
    how = cli_args["how"]
    if how == "refused":
        raise ValueError("how='refused' is not a way to end")
    return Ending(how=how)


def register(registry: SkillRegistry) -> None:
    """Declare the skill."""
    registry.register(
        SkillSpec(
            name="endings",
            workflow_cls=EndingsWorkflow,
            activities=[write_artifact, spawn_subagent, deadly, leaving, broken, broken_later],
            build_input=build_input,
        )
    )
