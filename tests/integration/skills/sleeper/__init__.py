"""A skill that sleeps with Temporal's own means."""

from typing import Any

from sagaflow_mcp.registry import SkillRegistry, SkillSpec

from .workflow import SleeperWorkflow


def build_input(*, run_id: str, run_dir: str, inbox_path: str, cli_args: dict[str, Any]) -> float:
    """How many days to sleep."""
    del run_id, run_dir, inbox_path
    return float(cli_args["days"])


def register(registry: SkillRegistry) -> None:
    """Declare the skill."""
    registry.register(SkillSpec(name="sleeper", workflow_cls=SleeperWorkflow, activities=[], build_input=build_input))
