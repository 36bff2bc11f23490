"""Other skills that a run starts, as child workflows whose files and steps belong to the same run."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from temporalio import workflow

from sagaflow_mcp import artifacts
from sagaflow_mcp.durable import run_state
from sagaflow_mcp.durable.function_activities import PrepareChildInput, PreparedChild
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagaflow_mcp.durable.memory import Memory

READY_TIMEOUT = timedelta(minutes=2)
"""How long it may take until a skill is found, tried and taken up by a worker."""

DEEPEST = 8
"""How many skills may be under way inside each other: one that starts itself would go on for ever."""


async def run(memory: Memory, skill: str, arguments: Mapping[str, Any]) -> Any:
    """What the skill returns.

    Raises:
        StepFailedError: it has failed, or could not be started.
        Refusal: too many skills have started each other.
    """
    depth = int(run_state.current().envelope.get("depth", 0)) + 1
    if depth > DEEPEST:
        raise Refusal(f"skill {skill!r} would be the {depth}th inside others; at most {DEEPEST} may start each other")
    key = memory.key("child", [skill, dict(arguments)])
    return await memory.once(key, lambda: _run(key, depth, PrepareChildInput(skill, dict(arguments))))


async def _run(key: str, depth: int, wanted: PrepareChildInput) -> Any:
    ready = await workflow.execute_activity(
        "prepare_child", wanted, start_to_close_timeout=READY_TIMEOUT, result_type=PreparedChild
    )
    name = f"{wanted.skill}-{key[:6]}{key.partition('.')[2]}"
    parent = run_state.current().envelope
    folder = "/".join(filter(None, [parent.get("folder", ""), artifacts.CHILDREN, name]))
    own = {
        "skill": ready.skill,
        "digest": ready.digest,
        "arguments": ready.arguments,
        "run_dir": ready.run_dir + "/" + folder,
        "folder": folder,
        "depth": depth,
    }
    with run_state.starting_child(own):
        handle = await workflow.start_child_workflow(
            ready.workflow_type,
            id=f"{workflow.info().workflow_id}/{name}",
            task_queue=ready.task_queue,
            task_timeout=workflow.info().task_timeout,
        )
    return await handle
