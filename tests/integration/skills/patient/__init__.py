"""A skill whose steps have one attempt or two."""

from typing import Any

from sagaflow_mcp.durable.activities import spawn_subagent, write_artifact
from sagaflow_mcp.registry import SkillRegistry, SkillSpec

from .workflow import Patient, PatientWorkflow, hanging, unreadable


def build_input(*, run_id: str, run_dir: str, inbox_path: str, cli_args: dict[str, Any]) -> Patient:
    """Which step to take."""
    del run_id, run_dir, inbox_path
    return Patient(how=cli_args["how"])


def register(registry: SkillRegistry) -> None:
    """Declare the skill."""
    registry.register(
        SkillSpec(
            name="patient",
            workflow_cls=PatientWorkflow,
            activities=[write_artifact, spawn_subagent, hanging, unreadable],
            build_input=build_input,
        )
    )
