"""A skill in the form that the `sagaflow` package's documentation teaches; its tests edit it."""

from typing import Any

from sagaflow.durable.activities import emit_finding, spawn_subagent, write_artifact
from sagaflow.prompts import load_prompt
from sagaflow.registry import SkillRegistry, SkillSpec
from skills.seed_hello.workflow import SeedInput, SeedWorkflow


def _build_input(*, run_id: str, run_dir: str, inbox_path: str, cli_args: dict[str, Any]) -> SeedInput:
    name = str(cli_args.get("name", "world"))
    return SeedInput(
        run_id=run_id,
        run_dir=run_dir,
        inbox_path=inbox_path,
        system_prompt=load_prompt(__file__, "greeter.system"),
        user_prompt=load_prompt(__file__, "greeter.user", substitutions={"name": name}),
    )


def register(registry: SkillRegistry) -> None:
    """Declare the skill."""
    registry.register(
        SkillSpec(
            name="seed-hello",
            workflow_cls=SeedWorkflow,
            activities=[write_artifact, emit_finding, spawn_subagent],
            build_input=_build_input,
        )
    )
