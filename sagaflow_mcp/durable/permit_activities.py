"""The activity that asks a person whether an agent may make a call."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from temporalio import activity

from sagaflow_mcp import agent_tools, questions, records
from sagaflow_mcp.durable import agent_activities, context, notices

OPTIONS = ("allow", "allow for this run", "deny")
"""What a person may decide; the second holds for all calls of the tool in the run."""


@dataclass(frozen=True)
class AskPermissionInput:
    """A call that an agent may not make unasked."""

    id: str
    """Of the question."""
    conversation: str
    turn: int
    """The turn that makes the call."""
    index: int
    """Which of its calls, from 0."""
    length: int
    """Of the conversation with that turn."""
    skill_dir: str = ""
    generation: int = 0
    """Of the conversation."""


@activity.defn
async def ask_permission(given: AskPermissionInput) -> bool:
    """Whether a person is now asked, in the inbox and in what is told of the run; a call may need nobody's leave."""
    step = context.current()
    if bool(step.ancestors) and await asyncio.to_thread(agent_activities.is_made, step, given):
        return False
    with context.refusals_end_the_step():
        call = await asyncio.to_thread(agent_activities.call_of, step, given)
        is_offered = await asyncio.to_thread(agent_activities.is_offered, step, given, call["name"])
    if not is_offered:
        return False
    about = agent_tools.about(call["name"], call["input"], agent_activities.workspace_of(step, given.skill_dir))
    if about is None:
        return False
    asked = questions.Question(
        id=given.id,
        question=about.question,
        options=OPTIONS,
        workflow_id=activity.info().workflow_id or "",
        asked_at=records.now(),
        asks_permission=True,
        details=about.details,
    )
    await asyncio.to_thread(questions.put, Path(step.run_dir), asked)
    entry = notices.entry(step, given.id, "NEEDS_INPUT", questions.summary(asked))
    await asyncio.to_thread(notices.tell, step.services, entry, show=True)
    return True
