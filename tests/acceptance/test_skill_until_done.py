"""The bundled skill `until-done`, launched in a real repository by the command, against the offline model."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from sagaflow_mcp import launch
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.testing import LocalSagaflow, Rule, ToolUse
from tests import process_table
from tests.acceptance import tools
from tests.acceptance.bundled import Project
from tests.integration.clients import with_client
from tests.waiting import eventually

WORKER, JUDGE = "You bring a project to a goal", "You decide whether a goal"

WRONG = "def add(a, b):\n    return a - b\n"
RIGHT = "def add(a, b):\n    return a + b\n"
TEST = """\
import unittest

from calc import add


class Add(unittest.TestCase):
    def test_small(self):
        self.assertEqual(add(2, 3), 5)
"""
WEAKENED = TEST.replace("assertEqual(add(2, 3), 5)", "assertTrue(add(2, 3))")

UNITTEST = f"{shlex.quote(sys.executable)} -B -m unittest -q"
GOAL = "add() in calc.py must add."


@pytest.fixture
def project(local: LocalSagaflow, tmp_path: Path) -> Project:
    """A folder without git, and a model that has nothing to say yet."""
    return Project(local, tmp_path)


@pytest.fixture
def repository(project: Project) -> Project:
    """The same under git, with a module that is wrong and its test."""
    project.write("calc.py", WRONG)
    project.write("test_calc.py", TEST)
    git(project, "init", "--quiet", "--initial-branch=main")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message=first")
    return project


def git(project: Project, *arguments: str) -> str:
    """What git says, with nothing of this machine's settings."""
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    environ = {"HOME": str(project.local.folder), "PATH": tools.path(), "GIT_CONFIG_NOSYSTEM": "1"}
    return tools.run(["git", *who, *arguments], env=environ, cwd=project.folder).stdout


def writes(path: str, text: str) -> Rule:
    """A worker's turn that writes a file."""
    return Rule(match=WORKER, tools=(ToolUse(name="write_file", input={"path": path, "content": text}),), times=1)


def says(summary: str, status: str = "ready") -> Rule:
    """A worker's last turn."""
    return Rule(match=WORKER, reply={"summary": summary, "status": status}, times=1)


def finds(verdict: str, *faults: str) -> Rule:
    """A judge's verdict."""
    found = {"looked_at": "calc.py and test_calc.py", "faults": list(faults), "verdict": verdict}
    return Rule(match=JUDGE, reply=found, times=1)


def launched(project: Project, run_id: str, goal: str, *commands: str, rounds: int = 5) -> tuple[int, str]:
    """The exit status of `sagaflow launch until-done`, and the last line."""
    words = ("--goal", goal, "--commands", json.dumps(commands), "--rounds", str(rounds), "--id", run_id)
    return project.launch("until-done", *words)


def file(project: Project, run_id: str, name: str) -> str:
    """A file of the run."""
    return Path(project.local.settings.home.root, "runs", run_id, name).read_text(encoding="utf-8")


def first_of(asked: list[Any]) -> list[str]:
    """The tasks that agents were given, in the order in which they began."""
    return [body["messages"][0]["content"] for body in asked if len(body["messages"]) == 1]


def test_it_works_on_until_the_commands_pass_and_the_judge_agrees(repository: Project) -> None:
    """Whatever the worker says, and although it weakens the test; also where a reply is empty or no JSON."""
    repository.local.model.add(
        writes("calc.py", "def add(a, b):\n    return a * b\n"),
        says("It is done: every test passes."),
        writes("test_calc.py", WEAKENED),
        says("Every test passes now."),
        Rule(match=JUDGE, tools=(ToolUse(name="read_file", input={"path": "test_calc.py"}),), times=1),
        Rule(match="assertTrue", reply="", times=1),
        Rule(match="does not fit the schema", reply="not done", times=1),
        # That judge has given no verdict; so has this worker, whose work counts all the same.
        writes("test_calc.py", TEST),
        writes("calc.py", RIGHT),
        Rule(match=WORKER, reply="I have mended it.", times=1),
        says("The test is as it was, and add() adds."),
        finds("done", "test_calc.py: the test asks for less"),
        says("The test is as it was committed; there is no fault."),
        finds("done"),
    )
    status, line = launched(repository, "adds", GOAL, UNITTEST)
    assert (status, line) == (0, f"done in round 4: `{UNITTEST}` passed, and the judge agreed")
    assert (repository.folder / "calc.py").read_text(encoding="utf-8") == RIGHT
    assert (repository.folder / "test_calc.py").read_text(encoding="utf-8") == TEST
    assert git(repository, "log", "--oneline").count("\n") == 1
    report = file(repository, "adds", "report.md")
    assert report.startswith(f"Done in round 4: `{UNITTEST}` passed, and the judge agreed\n\n# Goal\n\n{GOAL}\n\n")
    assert "# Files\n\n- changed: `calc.py`\n\n# Round 1\n\n- after the work" in report
    assert f"- after the judge, `{UNITTEST}`: exit status 0\n\nIn the worker's own words:\n\n> The test is as" in report
    assert "FAIL: test_small" in file(repository, "adds", "round-1/check-1.txt")
    assert "\nexit status 0\n" in file(repository, "adds", "round-4/again-1.txt")


def test_each_round_knows_what_came_of_those_before_and_the_judge_what_was_changed(repository: Project) -> None:
    """The judge only reads, and is not told what the worker says."""
    repository.write("notes.txt", "not committed\n")
    repository.local.model.add(
        says("I have looked around."),
        writes("calc.py", "def add(a, b):\n    return 5\n"),
        says("It passes now, take my word for it."),
        finds("not done", "calc.py:2 has the answer of the test written down"),
        writes("calc.py", RIGHT),
        says("add() adds."),
        finds("done"),
    )
    assert launched(repository, "told", GOAL, UNITTEST)[0] == 0
    _, second, third = first_of(repository.asked(WORKER))
    assert "Round 1: `" in second
    assert "AssertionError: -1 != 5" in second
    assert "I have looked around." in second
    assert "Round 2: the judge did not agree: calc.py:2 has the answer of the test written down" in third
    (judged, _) = repository.asked(JUDGE)
    assert [each["name"] for each in judged["tools"]] == ["read_file", "glob", "grep"]
    task = judged["messages"][0]["content"]
    assert "- changed: `calc.py`\n\n" in task
    assert "-    return a - b\n+    return 5\n" in task
    assert "Ran 1 test" in task
    assert "take my word" not in task


def test_what_passes_for_the_judge_must_pass_once_more(project: Project) -> None:
    """In a folder without git, with a command that fails every other time at first."""
    command = "echo run >>count; test $(wc -l <count) -ne 2"
    project.local.model.add(says("Steady."), finds("done"), says("Steadier."), finds("done"))
    status, line = launched(project, "steady", "The count must be steady.", command)
    assert (status, line) == (0, f"done in round 2: `{command}` passed, and the judge agreed")
    report = file(project, "steady", "report.md")
    first = report.partition("# Round 1")[2].partition("# Round 2")[0]
    assert f"- the judge: done\n  - looked at: calc.py and test_calc.py\n- after the judge, `{command}`: exit" in first
    assert "exit status 1" in first
    assert "passed first, and failed once the judge had agreed" in first_of(project.asked(WORKER))[1]


def test_out_of_rounds_the_run_fails_with_a_report(repository: Project) -> None:
    """It never says done while a command fails, nor while one hangs."""
    repository.local.model.add(says("Done!"), says("Done, at last!"))
    words = ("--goal", GOAL, "--commands", json.dumps(["true", UNITTEST, "sleep 1000"]), "--rounds", "2")
    status, line = repository.launch("until-done", *words, "--command-timeout", "2", "--id", "over")
    sentence = f"not done after 2 of 2 rounds: `{UNITTEST}`, `sleep 1000` failed"
    assert status == 1
    assert sentence in line
    report = file(repository, "over", "report.md")
    assert report.startswith(f"N{sentence[1:]}\n\n# Goal")
    assert report.count("`sleep 1000`: ended after 2 s, its time limit") == 2
    assert "> Done, at last!" in report
    assert repository.asked(JUDGE) == []


@pytest.mark.parametrize("how", ["cancelled", "killed"])
def test_no_command_goes_on_without_its_run(project: Project, how: str) -> None:
    """When the run is cancelled, or its worker killed: the command is then run again, by the next one."""
    project.local.model.add(says("Ready."))
    arguments = {"goal": "Wait.", "commands": ["echo $$ >>pids; exec sleep 1000"]}
    request = launch.Request("until-done", arguments, project_dir=str(project.folder))
    run_id = anyio.run(launch.launch, project.local.settings, request).run_id

    def pids() -> list[int]:
        """Those of the command, in the order of its attempts."""
        path = project.folder / "pids"
        return [int(line) for line in path.read_text(encoding="utf-8").split()] if path.exists() else []

    (first,) = eventually(pids, "the command")
    if how == "killed":
        project.local.kill_worker()
        eventually(lambda: pids()[1:], "the command's next attempt")
        assert process_table.is_gone(first)
    with_client(project.local, lambda client: client.get_workflow_handle(run_id).cancel())
    assert project.local.wait(run_id).state == "CANCELLED"
    eventually(lambda: all(map(process_table.is_gone, pids())), "the end of the command")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"goal": " "}, "argument 'goal' of skill 'until-done' is ' '"),
        ({"commands": []}, "argument 'commands' of skill 'until-done' is []"),
        ({"rounds": 0}, "argument 'rounds' of skill 'until-done' is 0"),
    ],
)
def test_a_launch_that_cannot_be_meant_is_refused(local: LocalSagaflow, given: dict[str, Any], said: str) -> None:
    """In a sentence, before anything runs."""
    with pytest.raises(Refusal) as refused:
        local.launch("until-done", **{"goal": "Add.", "commands": ["true"], **given})
    assert said in str(refused.value)
