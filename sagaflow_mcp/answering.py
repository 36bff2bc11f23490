"""The answer to a question that a run asks, brought to the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagaflow_mcp import run_updates
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from sagaflow_mcp.settings import Settings


async def answer(settings: Settings, run_id: str, text: str, question_id: str = "") -> str:
    """The id of the question of the run `run_id` that `text` is now the answer to.

    Args:
        settings: the home, and what its user has chosen.
        run_id: the run that asks.
        text: one of the question's options, in any case; any text where it has none.
        question_id: names one of several questions.

    Raises:
        Refusal: there is no such run, it has ended, or it does not take this answer (now).
        Failure: the engine, Temporal or the run's worker does not answer.
    """
    if not text.strip():
        raise Refusal("the answer is empty; give one")
    run = await run_updates.running(settings, run_id, "asks")
    asked = [each for each in run.questions if question_id in {"", each.id}]
    # A child's question goes to the child. Where it is not clear which is meant, the run says so.
    to, which = (asked[0].workflow_id, asked[0].id) if len(asked) == 1 else (run_id, question_id)
    # Imported here: it takes half a second, and an answer that is refused should not.
    from sagaflow_mcp.durable import answers  # noqa: PLC0415

    return str(await run_updates.send(settings, to, answers.ANSWER, [text, which], "the answer"))
