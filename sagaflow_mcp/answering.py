"""The answer to a question that a run asks, and a person's decision about a call of its agents, brought to the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagaflow_mcp import faces, run_updates
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from sagaflow_mcp.faces import Face
    from sagaflow_mcp.questions import Question
    from sagaflow_mcp.settings import Settings


async def answer(settings: Settings, run_id: str, text: str, question_id: str = "", *, face: Face = faces.CLI) -> str:
    """The id of the question of the run `run_id` that `text` is now the answer to.

    Args:
        settings: the home, and what its user has chosen.
        run_id: the run that asks.
        text: one of the question's options, in any case; any text where it has none.
        question_id: names one of several questions.
        face: whom a refusal tells what to do.

    Raises:
        Refusal: there is no such run, it has ended, or it does not take this answer (now).
        Failure: the engine, Temporal or the run's worker does not answer.
    """
    if not text.strip():
        raise Refusal("the answer is empty; give one")
    run = await run_updates.running(settings, run_id, "asks")
    named = [each for each in run.questions if question_id in {"", each.id}]
    asked = [each for each in named if not each.asks_permission]
    if named and not asked:
        raise Refusal(f"question {named[0].id} asks for a permission, which only a person gives: {face.permit}")
    # A child's question goes to the child. Where it is not clear which is meant, the run says so.
    to, which = (asked[0].workflow_id, asked[0].id) if len(asked) == 1 else (run_id, question_id)
    # Imported here: it takes half a second, and an answer that is refused should not.
    from sagaflow_mcp.durable import answers  # noqa: PLC0415

    return str(await run_updates.send(settings, to, answers.ANSWER, [text, which], "the answer"))


async def permission(settings: Settings, run_id: str, question_id: str = "") -> Question:
    """The question of the run `run_id` for a permission, the oldest one unless `question_id` names it.

    Raises:
        Refusal: there is no such run or question, or the run has ended.
    """
    run = await run_updates.running(settings, run_id, "asks")
    asked = [each for each in run.questions if each.asks_permission and question_id in {"", each.id}]
    if not asked:
        raise Refusal(f"run {run_id!r} asks for no permission{' of that id' if question_id else ''} now")
    return asked[0]


async def decide(settings: Settings, question: Question, decision: str) -> None:
    """Bring to the run what a person has decided.

    Args:
        settings: the home, and what its user has chosen.
        question: the one that it is about.
        decision: one of its options.

    Raises:
        Refusal: it has been decided, or the run has ended.
        Failure: the engine, Temporal or the run's worker does not answer.
    """
    # Imported here: as above.
    from sagaflow_mcp.durable import answers  # noqa: PLC0415

    given = [decision, question.id]
    await run_updates.send(settings, question.workflow_id, answers.PERMIT, given, "the decision")
