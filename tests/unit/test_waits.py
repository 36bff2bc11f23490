"""What a transcript tells of the times in which a run waits for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagaflow_mcp import artifacts, pauses, questions
from sagaflow_mcp.questions import Question

if TYPE_CHECKING:
    from pathlib import Path


def told(run_dir: Path) -> list[str]:
    """The kinds of events in order."""
    return [event["event"] for event in artifacts.events(run_dir)]


def test_a_question_is_told_when_it_is_asked_and_when_it_is_no_more(tmp_path: Path) -> None:
    """Each once, although a step that was killed half-way does it again."""
    asked = Question("q1", "Well?")
    questions.put(tmp_path, asked)
    questions.put(tmp_path, asked)
    questions.remove(tmp_path, "q1")
    questions.remove(tmp_path, "q1")
    assert told(tmp_path) == ["question_asked", "question_closed"]


def test_a_pause_is_told_with_its_end(tmp_path: Path) -> None:
    """Each once."""
    for change in (pauses.put, pauses.put, pauses.remove, pauses.remove):
        change(tmp_path)
    assert told(tmp_path) == ["run_paused", "run_resumed"]
