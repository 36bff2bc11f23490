"""The asking of a person: the question goes to the inbox, and the run waits for its answer however long that takes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import workflow

from sagaflow_mcp.durable import run_state
from sagaflow_mcp.durable.function_activities import CloseQuestionInput, PutQuestionInput
from sagaflow_mcp.questions import Question

if TYPE_CHECKING:
    from sagaflow_mcp.durable.memory import Memory

ENTRY_TIMEOUT = timedelta(seconds=60)
"""How long writing the entry may take."""


async def answer(memory: Memory, question: str, options: tuple[str, ...], limit: timedelta | None) -> str | None:
    """What a person answers; None when nobody has within `limit`."""
    key = memory.key("ask", [question, options])
    left = None if limit is None else memory.deadline(key, limit)
    asked = Question(_id(key), question, options)
    try:
        found: str | None = await memory.once(key, lambda: _answered(asked, left), is_waiting=True)
    finally:
        run_state.current().questions.settle(asked.id)
    return found


async def _answered(asked: Question, left: timedelta | None) -> str | None:
    questions = run_state.current().questions
    questions.put(asked)
    try:
        await workflow.execute_activity(
            "put_question",
            PutQuestionInput(asked.id, asked.question, list(asked.options)),
            start_to_close_timeout=ENTRY_TIMEOUT,
        )
        return await questions.answer(asked, left)
    finally:
        questions.close(asked)
        await workflow.execute_activity(
            "close_question", CloseQuestionInput(asked.id), start_to_close_timeout=ENTRY_TIMEOUT
        )


def _id(key: str) -> str:
    """An id that people can type."""
    digest, _, count = key.partition(".")
    return f"q{digest[:6]}{count}"
