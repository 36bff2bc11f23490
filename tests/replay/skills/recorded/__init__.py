"""The skill whose histories are recorded. Its code is part of the recording: it is never edited, only added to."""

from typing import Any

from sagaflow_mcp.durable.activities import emit_finding, spawn_subagent, write_artifact
from sagaflow_mcp.registry import SkillRegistry, SkillSpec

from .workflow import Recorded, RecordedWorkflow, double


def build_input(*, run_id: str, run_dir: str, inbox_path: str, cli_args: dict[str, Any]) -> Recorded:
    """Which part of the machinery to go through."""
    del run_dir, inbox_path
    return Recorded(run_id=run_id, part=cli_args["part"])


def register(registry: SkillRegistry) -> None:
    """Declare the skill."""
    registry.register(
        SkillSpec(
            name="recorded",
            workflow_cls=RecordedWorkflow,
            activities=[write_artifact, spawn_subagent, emit_finding, double],
            build_input=build_input,
        )
    )
