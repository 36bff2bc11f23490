"""A run told in many lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sagaflow_mcp import artifacts, faces, markers, questions, records, run_details, run_words, server_views
from sagaflow_mcp.questions import Question
from sagaflow_mcp.runs import Progress, Run

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home

HOSTILE = "\x1b[31mred</report>\n" + "very " * 10_000


@pytest.fixture
def run_dir(home: Home) -> Path:
    """The folder of an open run."""
    folder = Path(home.run("r-1"))
    folder.mkdir()
    artifacts.write_json(folder / "run.json", {"skill": "x", "created_at": "2030-01-31T08:15:00Z"})
    markers.claim(home, records.OpenRun("r-1", "x", "d", "", "2030-01-31T08:15:00Z", "h"))
    return folder


def sheet(home: Home, face: faces.Face = faces.CLI, lines: int = 20) -> list[str]:
    """What is told."""
    return list(run_words.sheet(run_details.get(home, "r-1"), lines, face))


def test_a_question_comes_with_what_answers_it(home: Home, run_dir: Path) -> None:
    """In a shell a command, for an agent its tool."""
    questions.put(run_dir, Question("q1", "Shall I?", ("yes", "not now")))
    assert "answer   sagaflow answer r-1 yes | 'not now'" in sheet(home)
    assert "answer   control_run with action answer and the user's answer" in sheet(home, faces.MCP)
    questions.put(run_dir, Question("q2", "May I?", ("allow", "deny"), asks_permission=True, asked_at="3"))
    questions.put(run_dir, Question("q3", "What?", asked_at="4"))
    assert [line for line in sheet(home) if line.startswith("answer")] == [
        "answer   sagaflow answer r-1 yes | 'not now' --question q1",
        "answer   sagaflow answer r-1 --question q2",
        "answer   sagaflow answer r-1 ANSWER --question q3",
    ]
    assert "answer   control_run with action permission, question q2: the user is asked" in sheet(home, faces.MCP)


def test_nothing_foreign_steers_a_terminal_or_gets_long(home: Home, run_dir: Path) -> None:
    """Names, errors, files, log lines; for an agent the whole is bounded."""
    for number in range(50):
        artifacts.append_event(run_dir, "step_started", step=f"{number}", label=f"{number} {HOSTILE}")
        artifacts.append_event(run_dir, "step_failed", step=f"{number}", label=f"{number} {HOSTILE}", error=HOSTILE)
    artifacts.append_event(run_dir, HOSTILE, label=HOSTILE)
    artifacts.write_json(run_dir / artifacts.PROGRESS, {"phase": HOSTILE, "note": HOSTILE, "done": "x", "total": 7})
    questions.put(run_dir, Question("q1", HOSTILE, (HOSTILE,)))
    (run_dir / "log.txt").write_text(HOSTILE * 3, encoding="utf-8")
    for number in range(30):
        (run_dir / f"{number}\x1b[31m<b>").touch()
    for line in sheet(home):
        assert line.isprintable()
        assert "<" not in line
        assert len(line) <= 1_000
    assert len(server_views.of_details(run_details.get(home, "r-1")).detail) <= server_views.DETAIL_LIMIT


def test_an_agent_sees_no_lines_of_tracebacks_from_the_log(home: Home, run_dir: Path) -> None:
    """The report of a failure has those of the skill's own files."""
    (run_dir / "log.txt").write_text("t ERROR step: no\n    Traceback\n    File\nt INFO step: yes\n", encoding="utf-8")
    assert [line for line in sheet(home) if "Traceback" in line] == ["      Traceback"]
    told = sheet(home, faces.MCP)
    assert [line for line in told if "Traceback" in line] == []
    assert told[-2:] == ["  t ERROR step: no", "  t INFO step: yes"]


def test_the_ends_of_transcript_and_log_are_as_long_as_asked(home: Home, run_dir: Path) -> None:
    """The last lines are told."""
    for number in range(30):
        artifacts.append_event(run_dir, "step_finished", step=f"{number}", label=f"step {number}", attempt=1)
    (run_dir / "log.txt").write_text("".join(f"line {number}\n" for number in range(30)), encoding="utf-8")
    told = sheet(home, lines=2)
    assert "transcript, the last 2 of 30 lines" in told
    assert [line[12:] for line in told if "finished" in line] == ["finished  step 28", "finished  step 29"]
    assert told[-2:] == ["  line 28", "  line 29"]


def test_files_of_the_run_are_told_and_those_of_sagaflow_are_not(home: Home, run_dir: Path) -> None:
    """With their sizes."""
    artifacts.write(run_dir, "notes/a.txt", "x" * 1_500)
    artifacts.write(run_dir, "report.md", "x")
    artifacts.append_event(run_dir, "phase_began", label="reading")
    assert [line for line in sheet(home) if line.endswith("B")] == [
        "files    report.md  1 B",
        "         notes/a.txt  1.5 kB",
    ]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "r-1: RUNNING: 0 steps done"),
        ({"state": "DONE", "summary": "all is well"}, "r-1: DONE: all is well"),
        (
            {"progress": Progress(2, ("a", "a", "b"), phase="reading", done=2, total=9, last_error="no")},
            "r-1: RUNNING: reading 2 of 9; 2 steps done; a, b; trying again: no",
        ),
        ({"questions": (Question("q1", "Well?"),)}, "r-1: RUNNING: asks q1: Well?; 0 steps done"),
    ],
)
def test_a_line_tells_what_a_run_is_at(changed: dict[str, Any], expected: str) -> None:
    """Without times, so that it changes only when something has happened."""
    about = {"run_id": "r-1", "skill": "x", "state": "RUNNING", "created_at": "2030-01-31T08:15:00Z"}
    assert run_words.line(Run(**{**about, **changed})) == expected
