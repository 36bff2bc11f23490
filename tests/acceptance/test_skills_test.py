"""`sagaflow skills test`: what it finds in skills that are right, and in those that are not."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.acceptance import tools

SKILLS = Path(__file__).parent / "skills"


def judged(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What `sagaflow skills test WORDS` does."""
    return subprocess.run(
        [str(tools.COMMANDS / "sagaflow"), "skills", "test", *words],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def test_a_case_that_gives_what_it_should(tmp_path: Path) -> None:
    """One line, and nothing is left in the user's folder."""
    done = judged(tmp_path, str(SKILLS / "steady"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == 'ok    rain: DONE, {"said": "all of rain", "length": 10}\n'
    assert not (tmp_path / ".sagaflow").exists()


def test_a_case_that_does_not(tmp_path: Path) -> None:
    """What was expected and what came."""
    done = judged(tmp_path, str(SKILLS / "wrong"))
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "FAIL  plain",
        '        result: expected "that"',
        '                came     "this"',
    ]


def test_a_step_that_adds_a_line_twice_is_found(tmp_path: Path) -> None:
    """With the place of the kill after which it did."""
    done = judged(tmp_path, "--crash", str(SKILLS / "flaw-append"))
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "FAIL  plain",
        "      worker killed after step 'append' ran, before its result was written down",
        r'''        file 'project/log.txt': expected "a line\n"''',
        r'''                                came     "a line\na line\n"''',
    ]


def test_a_skill_without_cases_is_refused(tmp_path: Path) -> None:
    """With the way to write one."""
    (tmp_path / "bare").mkdir()
    done = judged(tmp_path, str(tmp_path / "bare"))
    assert done.returncode == 1
    assert "has no test case; write one, such as tests/first.json" in done.stderr
