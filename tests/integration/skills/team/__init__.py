"""A skill whose workflow asks beside a child that asks, and one that cleans up in several ways."""

from typing import Any

from sagaflow_mcp.durable.activities import spawn_subagent, write_artifact
from sagaflow_mcp.registry import SkillRegistry, SkillSpec

from .workflow import DAWDLERS, Team, TeamWorkflow


def build_input(*, run_id: str, run_dir: str, inbox_path: str, cli_args: dict[str, Any]) -> Team:
    """The workflow's input."""
    del run_id, run_dir, inbox_path
    return Team(**cli_args)


def register(registry: SkillRegistry) -> None:
    """Tell Sagaflow what to run."""
    registry.register(
        SkillSpec(
            name="team",
            workflow_cls=TeamWorkflow,
            activities=[spawn_subagent, write_artifact, *DAWDLERS.values()],
            build_input=build_input,
        )
    )
