"""`sagaflow answer`: a person's answer to a question that a run asks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import anyio

from sagaflow_mcp import answering, cli_output, cli_question, records, runs
from sagaflow_mcp.errors import Failure, Refusal, UsageRefusal
from sagaflow_mcp.settings import Settings

if TYPE_CHECKING:
    import argparse

    from sagaflow_mcp.questions import Question

OF_PROGRAMS = ("CLAUDECODE", "SAGAFLOW_IN_RUN")
"""Variables of commands that a model runs: Claude Code sets the first, `child_environ` the second."""


def answer(options: argparse.Namespace) -> int:
    """Bring the answer to the run; whether an agent may make a call is asked here, in the terminal."""
    settings = Settings.of_user(os.environ)
    if options.answer is None:
        question = _permit(settings, options.run_id, options.question)
    else:
        question = anyio.run(answering.answer, settings, options.run_id, options.answer, options.question)
    if options.as_json:
        return cli_output.print_json({"run_id": options.run_id, "question": question})
    print(f"answered; the run goes on: sagaflow show {options.run_id}")
    return 0


def _permit(settings: Settings, run_id: str, question_id: str) -> str:
    """The id of the question that the person at the terminal has decided."""
    run = runs.get(settings.home, run_id)
    named = [each for each in run.questions if question_id in {"", each.id}]
    if named and not any(each.asks_permission for each in named):
        raise UsageRefusal(f"the answer is missing: sagaflow answer {run_id} ANSWER")
    asked = anyio.run(answering.permission, settings, run_id, question_id)
    if any(os.environ.get(name) for name in OF_PROGRAMS):
        raise Refusal(
            "a permission is given by a person, in a terminal of their own: this command was run by a program"
        )
    cli_question.refuse_without_terminal(
        f"question {asked.id} asks for a permission, which a person gives: run sagaflow answer {run_id} in a terminal"
    )
    anyio.run(answering.decide, settings, asked, _decided(asked))
    return asked.id


def _decided(asked: Question) -> str:
    """What the person chooses. Failure when it is none of the options."""
    keys = {str(number): each for number, each in enumerate(asked.options, 1)}
    screen = cli_question.screen()
    screen.show(records.one_line(asked.question))
    screen.show(records.for_terminal(asked.details))
    for key, option in keys.items():
        screen.show(f"  {key}  {records.one_line(option)}")
    typed = cli_question.line(f"{' / '.join(keys)}, anything else leaves it open:").strip().lower()
    chosen = keys.get(typed, typed)
    if chosen not in asked.options:
        raise Failure("nothing was answered; the run goes on waiting")
    return chosen
