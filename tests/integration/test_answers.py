"""Questions that runs ask people: real answers from the shell, over MCP, from two at once, and after every kill."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import anyio
import pytest

from sagaflow_mcp import answering, engine_client, inbox, runs
from sagaflow_mcp.errors import Refusal
from tests.integration.clients import as_process, in_process
from tests.waiting import eventually

if TYPE_CHECKING:
    from sagaflow_mcp.testing import LocalSagaflow

LONG = 3600


def asking(local: LocalSagaflow, what: str = "ask", count: int = LONG, questions: int = 1) -> str:
    """The id of a run that asks, and whose questions are in the inbox."""
    run_id = local.launch("one-function", what=what, count=count)
    eventually(lambda: len(local.inbox(run_id)) == questions, "the run asks")
    assert len(runs.get(local.settings.home, run_id).questions) == questions
    return run_id


def test_a_question_is_in_the_inbox_until_it_is_answered(local: LocalSagaflow) -> None:
    """With its options; a wrong one is refused with those that there are, and a second answer is told."""
    run_id = asking(local)
    (entry,) = local.inbox(run_id)
    assert (entry.status, entry.summary) == ("NEEDS_INPUT", "Shall it be done? (Yes / No)")
    assert inbox.dismiss(local.settings.home, [run_id]) == []
    shown = in_process(local, "show", run_id).stdout
    assert "Shall it be done? (Yes / No)" in shown

    wrong = in_process(local, "answer", run_id, "maybe")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr == "sagaflow: answer 'maybe' is not one of 'Yes', 'No'\n"
    assert in_process(local, "answer", run_id, " ").stderr == "sagaflow: the answer is empty; give one\n"

    right = as_process(local, "answer", run_id, "yes")
    assert (right.returncode, right.stderr) == (0, "")
    run = local.wait(run_id)
    assert (run.state, run.result, run.questions) == ("DONE", "Yes", ())
    assert [entry.status for entry, dismissed in inbox.for_run(local.settings.home, run_id) if not dismissed] == [
        "DONE"
    ]
    late = in_process(local, "answer", run_id, "no")
    assert late.stderr == f"sagaflow: run '{run_id}' asks nothing any more: it has ended (DONE)\n"


def test_of_two_answers_at_the_same_moment_one_wins(local: LocalSagaflow) -> None:
    """The other is told what the answer was."""
    run_id = asking(local)
    refused = []

    async def give(text: str) -> None:
        """Give one answer."""
        try:
            await answering.answer(local.settings, run_id, text)
        except Refusal as error:
            refused.append(str(error))

    async def both() -> None:
        """Give two."""
        async with anyio.create_task_group() as group:
            for text in ("yes", "no"):
                group.start_soon(give, text)

    anyio.run(both)
    run = local.wait(run_id)
    (told,) = refused
    assert run.result in {"Yes", "No"}
    assert repr(run.result) in told or "it has ended" in told


def test_one_of_several_questions_is_named(local: LocalSagaflow) -> None:
    """Without a name, the refusal has those that there are."""
    run_id = asking(local, "ask_twice", questions=2)
    first, second = runs.get(local.settings.home, run_id).questions
    with pytest.raises(Refusal, match="the run asks 2 questions; name the one that you answer") as refused:
        anyio.run(answering.answer, local.settings, run_id, "one")
    assert first.id in str(refused.value)
    given = {"First?": "one", "Second?": "two"}
    for question in (second, first):
        anyio.run(answering.answer, local.settings, run_id, given[question.question], question.id)
    assert local.wait(run_id).result == ["one", "two"]


def test_nobody_answers(local: LocalSagaflow) -> None:
    """Then the run goes on as its author says: here it fails with the question."""
    run = local.wait(local.launch("one-function", what="ask", count=1))
    assert (run.state, run.summary) == ("FAILED", "TimeoutError: nobody has answered in time: Shall it be done?")
    assert [each.status for each in inbox.unread(local.settings.home) if each.run_id == run.run_id] == ["FAILED"]


def test_an_answer_after_everything_was_killed(local: LocalSagaflow) -> None:
    """The command starts what it needs."""
    run_id = asking(local)
    status = engine_client.status(local.settings.home) or {}
    for pid in (status["keeper"], status["pid"], status["worker"]["pid"], status["server"]["pid"]):
        os.kill(pid, signal.SIGKILL)
    assert as_process(local, "answer", run_id, "No").returncode == 0
    assert local.wait(run_id).result == "No"
    assert len(local.inbox(run_id)) == 2
