"""The asking of a person whether an agent may make a call."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import workflow

from sagaflow_mcp.durable import run_state
from sagaflow_mcp.durable.function_activities import CloseQuestionInput
from sagaflow_mcp.durable.permit_activities import OPTIONS, AskPermissionInput
from sagaflow_mcp.questions import Question

if TYPE_CHECKING:
    from sagaflow_mcp.durable.memory import Memory
    from sagaflow_mcp.durable.permits import Permits

ALLOW, ALLOW_FOR_RUN, DENY = OPTIONS

DENIED = "a person has not allowed this call; do without it, and say at the end what it was needed for"
"""What the model is told of a call that was denied."""

ENTRY_TIMEOUT = timedelta(seconds=60)
"""How long writing the entry may take."""


async def is_allowed(memory: Memory, place: str, tool: str, call: AskPermissionInput) -> bool:
    """Whether the call of `tool` at the `place` in the run may be made: a person decides, however long that takes."""
    permits = run_state.current().permits
    if permits.has(tool):
        return True
    try:
        decided: str = await memory.once(f"{place}.permit", lambda: _decided(permits, tool, call), is_waiting=True)
    finally:
        run_state.current().questions.settle(call.id)
    return decided != DENY


async def _decided(permits: Permits, tool: str, call: AskPermissionInput) -> str:
    questions = run_state.current().questions
    asked = Question(call.id, f"May an agent of this run use {tool}?", OPTIONS, asks_permission=True)
    questions.put(asked)
    is_asked = True
    try:
        is_asked = await workflow.execute_activity(
            "ask_permission", call, start_to_close_timeout=ENTRY_TIMEOUT, result_type=bool
        )
        if not is_asked:
            return ALLOW
        await workflow.wait_condition(lambda: permits.has(tool) or questions.answered(asked.id) is not None)
        decided = questions.answered(asked.id) or ALLOW
        if decided == ALLOW_FOR_RUN:
            permits.grant(tool)
        return decided
    finally:
        questions.close(asked)
        if is_asked:
            await workflow.execute_activity(
                "close_question", CloseQuestionInput(asked.id), start_to_close_timeout=ENTRY_TIMEOUT
            )


def question_id(place: str) -> str:
    """The id of the question about the call at the `place` in the current workflow, as people can type it."""
    of = f"{workflow.info().workflow_id}/{place}"
    return f"p{hashlib.sha256(of.encode()).hexdigest()[:8]}"
