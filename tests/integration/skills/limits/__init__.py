"""A skill that writes where it must not, and passes around what is large."""

from typing import Any

from sagaflow_mcp.durable.activities import write_artifact
from sagaflow_mcp.registry import SkillRegistry, SkillSpec

from .workflow import Limits, LimitsWorkflow, large, link_out


def build_input(*, run_id: str, run_dir: str, inbox_path: str, cli_args: dict[str, Any]) -> Limits:
    """Which names to try, and where the run's folder is."""
    del run_id, inbox_path
    return Limits(run_dir=run_dir, names=cli_args["names"], outside=cli_args["outside"])


def register(registry: SkillRegistry) -> None:
    """Declare the skill."""
    registry.register(
        SkillSpec(
            name="limits",
            workflow_cls=LimitsWorkflow,
            activities=[write_artifact, large, link_out],
            build_input=build_input,
        )
    )
