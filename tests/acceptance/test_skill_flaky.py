"""The bundled skill `flaky-test`, launched in a real repository by the command, against the offline model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sagaflow_mcp.testing import LocalSagaflow, Rule
from tests.acceptance import tools
from tests.acceptance.bundled import Project

INVESTIGATOR, EXAMINER, REPORTER = "You find out why a test", "You test one hypothesis", "You conclude why"

SCRIPT = """\
count=$(cat "$STATE/count" 2>/dev/null || echo 0)
echo $((count + 1)) >"$STATE/count"
if [ $((count % 4)) -eq 3 ]; then
  echo "FAILED test.sh::fourth - AssertionError: count is $count"
  exit 1
fi
"""
"""A test that fails each fourth time, by what earlier runs have left in a folder outside of the project."""


@pytest.fixture
def project(local: LocalSagaflow, tmp_path: Path) -> Project:
    """A repository with that test, and a model that has nothing to say yet."""
    found = Project(local, tmp_path)
    found.write("test.sh", SCRIPT)
    environ = {"HOME": str(local.folder), "PATH": tools.path(), "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "first"]):
        tools.run(["git", *who, *words], env=environ, cwd=found.folder)
    return found


def experiment(command: str, expected: str = "fails more often", **others: Any) -> dict[str, Any]:
    """One on that command."""
    return {"command": command, "expected": expected, "reason": "It changes one thing.", **others}


def hypothesis(cause: str, given: dict[str, Any]) -> dict[str, Any]:
    """One with that experiment."""
    return {"cause": cause, "evidence": "test.sh:1 reads it.", "experiment": given}


def says(role: str, reply: Any) -> Rule:
    """What an agent says once."""
    return Rule(match=role, reply=reply, times=1)


def report(project: Project, run_id: str) -> str:
    """The run's report."""
    return project.files(run_id)["report.md"]


def test_a_cause_is_confirmed_by_counts_and_by_nothing_else(project: Project, tmp_path: Path) -> None:
    """A reporter that says more than the numbers is held to them; a reply that is empty or wrong is asked for again."""
    command = f"STATE={tmp_path} sh test.sh"
    state = 'd=$(mktemp -d); trap "rm -r $d" EXIT; {}STATE=$d sh test.sh'
    fresh, full = state.format(""), state.format("echo 3 >$d/count; ")
    left = hypothesis("A count is left by earlier runs.", experiment(fresh, "fails less often", parallel=6))
    clock = hypothesis("The clock is read.", experiment(f"{command} -x", environment={"TZ": "UTC"}))
    spoiling = hypothesis("A file is missing.", experiment("touch missing; exit 3", parallel=6))
    never = hypothesis("The moon is full.", experiment("touch never-run"))
    project.local.model.add(
        says(INVESTIGATOR, {"hypotheses": [hypothesis("Bad.", experiment("true", environment={"A-B": "1"}))]}),
        says("does not fit the schema", {"hypotheses": [left, clock, spoiling, never]}),
        says(EXAMINER, ""),
        says(
            "does not fit the schema",
            {"meaning": "1 of 6 can be none by chance.", "next": experiment(full, parallel=6)},
        ),
        says(EXAMINER, {"meaning": "With a count of 3 it fails each time.", "next": None}),
        says(EXAMINER, {"meaning": "It makes no difference.", "next": None}),
        says(EXAMINER, {"meaning": "It fails each time!", "next": experiment("rm -rf *")}),
        says(
            REPORTER,
            {
                "headline": "It fails because of what earlier runs leave.",
                "ranking": [
                    {"hypothesis": 3, "verdict": "confirmed", "reason": "6 of 6."},
                    {"hypothesis": 1, "verdict": "confirmed", "reason": "6 of 6 against 1 of 6."},
                    {"hypothesis": 2, "verdict": "refuted", "reason": "2 of 6 against 1 of 6."},
                ],
                "fix": "Make the folder anew in test.sh line 1.",
                "open": "",
            },
        ),
    )
    status, line = project.launch("flaky-test", "--command", command, "--runs", "6", "--id", "left")
    assert (status, line) == (0, f"`{command}` fails in 1 of 6 runs; confirmed: A count is left by earlier runs.")
    told = report(project, "left")
    assert "- 1 of 6 runs failed: 17% (95 % interval 3% to 56%)" in told
    kind = "exit status 1: test.sh::fourth: FAILED test.sh::fourth - AssertionError: count is N"
    assert f"- once, in run 4: `{kind}`" in told
    titles = [each for each in told.splitlines() if each.startswith("## ")]
    assert titles == [
        "## Confirmed: A count is left by earlier runs.",
        "## Inconclusive: A file is missing.",
        "## Inconclusive: The moon is full.",
        "## Refuted: The clock is read.",
    ]
    assert f"- `{fresh}`, 6 at a time: 0 of 6 failed; no clear sign that it fails less often (p = 0.5)." in told
    assert f"- `{full}`, 6 at a time: 6 of 6 failed; fails more often, as expected (p = 0.0076)." in told
    assert "void, since it changed `missing`" in told
    assert "6 of 6. (Taken for confirmed; the numbers do not show it.)" in told
    assert "# Proposed fix\n\nMake the folder anew in test.sh line 1." in told
    # What spoils the folder ends the experiments, and nothing else there is touched.
    assert sorted(each.name for each in project.folder.iterdir()) == [".git", "missing", "test.sh"]
    failed = Path(project.local.settings.home.root, "runs", "left", "baseline")
    assert sorted(each.name for each in failed.iterdir()) == ["failure-4.txt"]
    assert "AssertionError: count is 3" in (failed / "failure-4.txt").read_text(encoding="utf-8")
    assert {name["name"] for body in project.asked() for name in body["tools"]} == {"read_file", "glob", "grep"}


def test_a_command_that_always_fails_is_not_flaky(project: Project) -> None:
    """The model is not even asked, and the report shows what it prints."""
    words = ("--command", "echo no such tool >&2; exit 127", "--runs", "3", "--parallel", "3", "--id", "broken")
    status, line = project.launch("flaky-test", *words)
    assert (status, line) == (
        0,
        "`echo no such tool >&2; exit 127` fails in all 3 runs: it is broken, not flaky",
    )
    assert "Run 1, exit status 127:\n\n```text\nno such tool\n```" in report(project, "broken")
    assert project.asked() == []


def test_the_numbers_are_reported_also_where_no_agent_can_say_why(project: Project) -> None:
    """Its replies cannot be read; a run that takes too long is a failure."""
    project.local.model.add(says(INVESTIGATOR, "It is flaky."), says("does not fit", "I said so."))
    command = "test $FLAKY_RUN = 1 || sleep 1000"
    words = ("--command", command, "--runs", "2", "--timeout", "2", "--parallel", "2", "--id", "unread")
    status, line = project.launch("flaky-test", *words)
    assert (status, line) == (0, f"`{command}` fails in 1 of 2 runs; no hypothesis was found")
    assert "- once, in run 2: `ended after 2 s, its time limit`" in report(project, "unread")
