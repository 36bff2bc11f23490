"""What a watch shows of runs, on screens of any size."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from sagaflow_mcp import watch_view
from sagaflow_mcp.questions import Question
from sagaflow_mcp.runs import Progress, Run, RunningStep

HOSTILE = "\x1b[31m[red]x[/red]\n\u202e</b>" + "very " * 1_000


def run(number: int, **changed: Any) -> Run:
    """An open run, but for `changed`."""
    about = {"skill": "x", "state": "RUNNING", "created_at": "2030-01-31T08:15:00Z", **changed}
    return Run(run_id=f"run-{number}", **about)


def drawn(found: list[Run], columns: int = 100, rows: int = 20) -> list[str]:
    """The lines on the screen."""
    console = Console(file=io.StringIO(), width=columns, height=rows, color_system=None)
    console.print(watch_view.screen(found, columns, rows, "08:15:00"))
    shown = console.file.getvalue()  # type: ignore[attr-defined] # It is the one above.
    return [line.rstrip() for line in str(shown).split("\n")[:-1]]


READING = Progress(
    steps_finished=3,
    phase="reading",
    done=3,
    total=12,
    input_tokens=12_345,
    output_tokens=678,
    running=tuple(RunningStep(label, "2030-01-31T08:15:00Z", 1) for label in ("reader", "reader", "a", "b", "c")),
)


def test_an_open_run_has_a_bar_and_what_it_is_at() -> None:
    """Steps under way are named with how many there are."""
    _, main, below = drawn([run(1, progress=READING)])
    assert main.split()[:3] == ["RUNNING", "run-1", "reading"]
    assert "\u2501" * 5 in main
    assert main.split()[-6:] == ["3/12", "0s", "12k", "in", "678", "out"]
    assert below.split() == ["reader", "x2", "0s,", "a", "0s,", "b", "0s,", "and", "1", "more"]


def test_a_question_stands_with_the_command_that_answers_it() -> None:
    """It is what somebody who watches has to do."""
    lines = drawn([run(1, questions=(Question("q1", "Go on?", ("yes", "no")),))])
    assert lines[1].startswith("ASKS      run-1")
    assert [line.strip() for line in lines[2:]] == ["asks: Go on? (yes / no)", "sagaflow answer run-1 yes | no"]


def test_a_paused_run_is_told_as_such() -> None:
    """It is open."""
    heading, main = drawn([run(1, state="PAUSED")])
    assert heading.startswith("sagaflow  1 open run  ")
    assert main.startswith("PAUSED    run-1")


@pytest.mark.parametrize("columns", [1, 8, 20, 39, 40, 63, 64, 89, 90, 300])
@pytest.mark.parametrize("rows", [1, 2, 5, 30])
def test_nothing_is_wider_or_longer_than_the_screen(columns: int, rows: int) -> None:
    """Whatever the runs say."""
    hostile = run(
        1,
        progress=Progress(phase=HOSTILE, note=HOSTILE, done=-5, total=3, last_error=HOSTILE, running=READING.running),
        questions=(Question("q1", HOSTILE, (HOSTILE,)),),
    )
    ended = [run(number, state="DONE", summary=HOSTILE) for number in range(2, 30)]
    lines = drawn([hostile, run(2, progress=READING), *ended], columns, rows)
    assert len(lines) <= max(rows, 2)
    assert all(len(line) <= columns and (line.isprintable() or not line) for line in lines)


def test_runs_that_do_not_fit_are_counted() -> None:
    """Open ones go before ended ones."""
    lines = drawn([*(run(number) for number in range(10)), run(11, state="DONE")], rows=5)
    assert [line.split()[:2] for line in lines[1:4]] == [["RUNNING", f"run-{number}"] for number in range(3)]
    assert lines[4].strip() == "\u2026 and 7 more open"
    assert drawn([])[1].strip() == "no runs"


@pytest.mark.parametrize("state", ["DONE", "FAILED", "CANCELLED", "TIMED_OUT", "TERMINATED"])
def test_an_ended_run_is_a_line(state: str) -> None:
    """With its summary."""
    assert drawn([run(1, state=state, summary="all [is] well")])[1].split()[:2] == [state, "run-1"]
    assert drawn([run(1, state=state, summary="all [is] well")])[1].endswith("ago  all [is] well")
