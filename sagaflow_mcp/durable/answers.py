"""The questions that a run asks people, and their answers: the first that fits is taken, later ones are told."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import workflow

from sagaflow_mcp import records
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from sagaflow_mcp.questions import Question

ANSWER = "sagaflow_answer"
"""The update that brings an answer."""

PERMIT = "sagaflow_permit"
"""The update that brings what a person has decided about a permission."""

AGAIN = timedelta(seconds=20)
"""How long an answer waits for a question that was asked before a crash and is about to be asked again."""

ONLY_A_PERSON = "this question asks for a permission, which only a person gives, and no answer that a program passes on"
"""The refusal of an answer that did not come from the dialog or the terminal in which a person decides."""

SHOWN = 80
"""How much of a text a refusal repeats, in characters."""


class Questions:
    """Those of one run."""

    def __init__(self) -> None:
        self._open: dict[str, Question] = {}
        self._answers: dict[str, str] = {}
        self._taken: set[str] = set()

    @property
    def is_settled(self) -> bool:
        """Whether every answer that was taken is where another execution of the run finds it."""
        return not self._taken

    def settle(self, question_id: str) -> None:
        """The question's answer, if there is one, is remembered by now, or nobody wants it any more."""
        self._taken.discard(question_id)

    def put(self, question: Question) -> None:
        """Ask `question` from now on."""
        self._open[question.id] = question

    def close(self, question: Question) -> None:
        """Ask it no more."""
        self._open.pop(question.id, None)

    def answered(self, question_id: str) -> str | None:
        """The answer to the question of that id; None when there is none yet."""
        return self._answers.get(question_id)

    async def answer(self, question: Question, limit: timedelta | None) -> str | None:
        """The answer to `question`; None when there is none within `limit`, which is for ever where it is None."""
        try:
            await workflow.wait_condition(lambda: question.id in self._answers, timeout=limit)
        except TimeoutError:
            return None
        return self._answers[question.id]

    async def take(self, text: str, question_id: str = "", *, permission: bool = False) -> Question:
        """The question that `text` is now the answer to: the only open one, unless `question_id` names it.

        Args:
            text: the answer.
            question_id: of the question.
            permission: whether a person has decided about a permission, and not answered a question of the run's.

        Raises:
            Refusal: there is none, it has been answered, does not take that answer, or is of the other kind.
        """
        if question_id and not self._knows(question_id):
            # After a crash the run may not be as far again as when it asked.
            with suppress(TimeoutError):
                await workflow.wait_condition(lambda: self._knows(question_id), timeout=AGAIN)
        if question_id in self._answers:
            raise Refusal(f"this question has already been answered: {_short(self._answers[question_id])}")
        question = self._chosen(question_id)
        if question.asks_permission != permission:
            raise Refusal(
                ONLY_A_PERSON if question.asks_permission else f"question {question.id} asks for no permission"
            )
        chosen = _option(question, text)
        self._answers[question.id] = chosen
        self._taken.add(question.id)
        # At once, so that of two answers at the same moment the second finds none open.
        self.close(question)
        return question

    def _knows(self, question_id: str) -> bool:
        return question_id in self._open or question_id in self._answers

    def _chosen(self, question_id: str) -> Question:
        if question_id:
            if question_id not in self._open:
                raise Refusal(f"the run asks no question {_short(question_id)}")
            return self._open[question_id]
        if not self._open:
            last = next(reversed(self._answers.values()), None)
            told = "" if last is None else f"; its last question has already been answered: {_short(last)}"
            raise Refusal(f"the run asks nothing now{told}")
        if len(self._open) > 1:
            asked = "; ".join(f"{each.id}: {_short(each.question)}" for each in self._open.values())
            raise Refusal(f"the run asks {len(self._open)} questions; name the one that you answer: {asked}")
        (question,) = self._open.values()
        return question


def _option(question: Question, text: str) -> str:
    """The answer that `text` stands for; Refusal when the question does not take it."""
    if not question.options:
        return text
    for option in question.options:
        if option.casefold() == text.strip().casefold():
            return option
    raise Refusal(f"answer {_short(text)} is not one of {', '.join(map(_short, question.options))}")


def _short(text: str) -> str:
    return repr(records.one_line(text, SHOWN))
