"""The bundled skill `review`, launched in a real repository by the command, against the offline model."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sagaflow_mcp import launch
from sagaflow_mcp.testing import Error, LocalSagaflow, Rule, ToolUse
from tests.acceptance import tools
from tests.acceptance.bundled import Project, section

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMITTED = "def pages(total, size):\n    return -(-total // size)\n"
CHANGED = "def pages(total, size):\n    return total // size + 1\n"
UNTRACKED = "def last(total, size):\n    return total % size\n"

REVIEWER = "one kind of problem, {}, and"
"""What stands in the system prompt of the reviewer of a kind."""

AGAIN = "(?s)" + REVIEWER + ".*does not fit the schema"
CHECKER = "(?s)You check one finding.*What is wrong: {}"
MERGER = "The findings:\n"


def finding(title: str, **others: Any) -> dict[str, Any]:
    """A finding with that title."""
    first = {"file": "pages.py", "line": 2, "severity": "high", "title": title, "why": "It adds one page."}
    return {**first, "how_to_see": "pages(4, 2) should give 3.", "what_to_do": "Round up.", **others}


def findings(*found: Mapping[str, Any], not_seen: str = "") -> dict[str, Any]:
    """What a reviewer says."""
    return {"findings": list(found), "not_seen": not_seen}


def verdict(word: str, evidence: str, severity: str = "high") -> dict[str, str]:
    """What a check says."""
    return {"verdict": word, "evidence": evidence, "severity": severity}


NOTHING = findings()


class Repository(Project):
    """A project of a user's under git."""

    def __init__(self, local: LocalSagaflow, folder: Path) -> None:
        super().__init__(local, folder)
        self.marks, self.beside = folder / "marks", folder / "beside"
        self.marks.mkdir()
        self.beside.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.write("pages.py", COMMITTED)
        self.write(".env", "TOKEN=old\n")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=first")

    def git(self, *arguments: str) -> None:
        """Have git do that, with nothing of this machine's settings."""
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        environ = {"HOME": str(self.local.folder), "PATH": tools.path(), "GIT_CONFIG_NOSYSTEM": "1"}
        tools.run(["git", *who, *arguments], env=environ, cwd=self.folder)

    def program(self, name: str) -> str:
        """A program that leaves a mark of that name when it is run, and does nothing else."""
        path = self.beside / name
        path.write_text(f"#!/bin/sh\ntouch {self.marks}/{name}\ncat\n", encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    def review(self, *words: str, **environ: str) -> tuple[int, str]:
        """The exit status of `sagaflow launch review`, and its last line."""
        return self.launch("review", *words, **environ)

    def begin(self, arguments: dict[str, Any], below: str) -> str:
        """The id of a review that is launched from that folder, without the command."""
        request = launch.Request("review", arguments, project_dir=str(self.folder / below))
        return anyio.run(launch.launch, self.local.settings, request).run_id


@pytest.fixture
def repository(local: LocalSagaflow, tmp_path: Path) -> Repository:
    """One with a first commit, and a model that has nothing to say yet."""
    local.model.replace()
    return Repository(local, tmp_path)


def test_what_reviewers_find_is_checked_by_others_and_ranked(repository: Repository) -> None:
    """Also where one reviewer says nothing, one is wrong, one answers first with no JSON, and a check fails."""
    repository.write("pages.py", CHANGED)
    repository.write("last.py", UNTRACKED)
    repository.write(".env", "TOKEN=planted\n")
    wrong = finding("The size may come from a stranger", severity="critical")
    twice = finding("A page too many is counted", severity="medium", why="The ceiling is gone.")
    division = finding("A size of 0 divides by zero", severity="low", line=1)
    repository.local.model.add(
        Rule(
            match=REVIEWER.format("correctness") + "(?s:.*)Review what has changed since HEAD",
            tools=(ToolUse(name="read_file", input={"path": "pages.py"}),),
            times=1,
        ),
        Rule(match=REVIEWER.format("correctness"), reply=findings(finding("Full pages count twice"), division)),
        Rule(match=REVIEWER.format("security"), reply=findings(wrong, not_seen="last.py: I ran out of turns")),
        Rule(match=AGAIN.format("tests"), reply=findings(twice)),
        Rule(match=REVIEWER.format("tests"), reply="Here is what I found: nothing much."),
        Rule(match=REVIEWER.format("maintenance"), reply=""),
        Rule(match=MERGER, reply={"same": [[1, 4], [9], [4, 3]]}),
        Rule(match=CHECKER.format("Full pages"), reply=verdict("confirmed", "pages.py:2 adds one.", "medium")),
        Rule(match=CHECKER.format("The size"), reply=verdict("refuted", "pages.py is called with constants alone.")),
        Rule(match=CHECKER.format("A size of 0"), error=Error(status=400, type="invalid_request_error", message="no")),
    )
    status, line = repository.review("--focus", "the last page", "--id", "ranked")
    assert status == 0
    assert line == (
        "1 finding confirmed (1 medium), 1 not checked, 1 refuted, 1 reviewer failed (maintenance), "
        "not all was seen (security); first: pages.py:2 Full pages count twice"
    )
    files = repository.files("ranked")
    report = files["report.md"]
    assert re.match(r"# Review of what has changed since HEAD \([0-9a-f]{10}\)\n\n\*\*1 finding confirmed", report)
    found = section(report, "Findings")
    assert found.index("### 1. medium, confirmed: Full pages count twice\n\n`pages.py:2`") < found.index(
        "### 2. low, not checked: A size of 0 divides by zero\n\n`pages.py:1`"
    )
    for told in (
        "- **Why**: It adds one page.\n- **How to see it**: pages(4, 2) should give 3.\n- **What to do**: Round up.",
        "- **Check**: confirmed; pages.py:2 adds one.\n- **Found by**: correctness, tests",
        "- **Also put as**: pages.py:2 A page too many is counted\n- **Severity for the reviewer**: high",
    ):
        assert told in found
    refuted = "- `pages.py:2` The size may come from a stranger (security)\n  pages.py is called with constants alone."
    assert section(report, "Refuted") == refuted
    missing = section(report, "What this review does not cover")
    assert "- The maintenance reviewer has failed: the answer of agent 'maintenance reviewer' does not fit" in missing
    assert "- Not seen by the security reviewer: last.py: I ran out of turns" in missing
    assert "- Not checked: `pages.py:1` A size of 0 divides by zero: the check has failed: " in missing
    assert "- Out of reach of agents: `.env`" in missing
    assert "+    return total // size + 1" in files["changes.diff"]
    assert not repository.asked("planted")
    assert len(repository.asked("New files, of which the diff has nothing, so read them:\\nlast.py")) >= 4
    for each in repository.asked("Review what has changed") + repository.asked("You check one finding"):
        assert [tool["name"] for tool in each["tools"]] == ["read_file", "glob", "grep"]
        assert f"The project's folder is {repository.folder}." in each["system"]
        assert "the last page" in json.dumps(each["messages"][0])
        assert "$" not in each["system"]


def test_a_branch_is_held_against_the_place_where_it_left_the_other(repository: Repository) -> None:
    """With what is not committed, below the folder of the launch, and nothing of what the other branch did since."""
    repository.git("checkout", "--quiet", "-b", "feature")
    repository.write("deep/inner.py", "committed = 1\n")
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message=second")
    repository.git("checkout", "--quiet", "main")
    repository.write("pages.py", "elsewhere = 1\n")
    repository.git("commit", "--quiet", "--all", "--message=elsewhere")
    repository.git("checkout", "--quiet", "feature")
    repository.write("deep/inner.py", "committed = 1\nopen = 2\n")
    repository.local.model.add(Rule(reply=NOTHING))
    status, line = repository.review("--base", "main", "--id", "branch", below="deep")
    assert (status, line) == (0, "no findings confirmed")
    diff = repository.files("branch")["changes.diff"]
    assert "+++ b/inner.py" in diff
    assert "+committed = 1\n+open = 2\n" in diff
    assert "elsewhere" not in diff
    assert section(repository.files("branch")["report.md"], "Findings") == "None that stands."


def test_no_program_that_a_repository_names_is_run(repository: Repository) -> None:
    """Neither by its settings, nor by its attributes, its hooks or the environment of the launch."""
    repository.write("pages.py", CHANGED)
    repository.write(".gitattributes", "*.py filter=evil diff=evil\n")
    for name in ("core.fsmonitor", "core.pager", "diff.external", "diff.evil.command", "diff.evil.textconv"):
        repository.git("config", name, repository.program(name))
    for name in ("clean", "smudge", "process"):
        repository.git("config", f"filter.evil.{name}", repository.program(name))
    repository.git("config", "filter.evil.required", "true")
    hook = Path(repository.program("post-index-change"))
    hook.rename(repository.folder / ".git" / "hooks" / "post-index-change")
    repository.local.model.add(Rule(reply=NOTHING))
    status, line = repository.review("--id", "programs", GIT_EXTERNAL_DIFF=repository.program("environment"))
    assert (status, line) == (0, "no findings confirmed")
    assert "+    return total // size + 1" in repository.files("programs")["changes.diff"]
    assert list(repository.marks.iterdir()) == []
    subprocess.run(["git", "diff"], cwd=repository.folder, capture_output=True, check=False)
    # So the marks would have told.
    assert {"core.fsmonitor", "process"} <= {each.name for each in repository.marks.iterdir()}


def test_files_are_reviewed_as_they_are(repository: Repository) -> None:
    """Without a diff; each reviewer is told of the folder's files, and not of those that hold credentials."""
    repository.write("src/one.py", "one = 1\n")
    repository.write("src/id_rsa", "planted\n")
    repository.local.model.add(Rule(reply=NOTHING))
    words = ("--paths", '["src", "pages.py"]', "--reviewers", '["security", "security"]', "--id", "files")
    assert repository.review(*words) == (0, "no findings confirmed")
    files = repository.files("files")
    assert files["report.md"].startswith("# Review of src, pages.py\n")
    assert "Reviewed for security, security 2, by reading alone" in files["report.md"]
    assert "Out of reach of agents: `src/id_rsa`" in files["report.md"]
    assert "changes.diff" not in files
    assert len(repository.asked("Files (2):\\nsrc/one.py\\npages.py")) == 2


def test_where_there_is_nothing_to_review_the_run_says_so(repository: Repository) -> None:
    """In one sentence, as where there is too much; no model is asked."""
    status, line = repository.review()
    assert (status, f"nothing has changed in {str(repository.folder)!r} since 'HEAD', so" in line) == (1, True), line
    repository.write("long.py", "# long\n" * 80_000)
    repository.git("add", "long.py")
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({}, "", "is over 400,000 bytes long; name `paths` to review a part, or"),
        ({"base": "gone"}, "", "base is 'gone', which is no commit of '"),
        ({"base": "HEAD", "paths": ["pages.py"]}, "", "nothing has changed in pages.py since 'HEAD', so"),
        ({"base": "HEAD", "paths": ["../.."]}, "", "git diff failed in '"),
        ({"paths": ["gone"]}, "", "there is no 'gone' in '"),
        ({"paths": ["../.."]}, "", "cannot read '../..': it lies outside of "),
        ({}, "../beside", "not a git repository"),
    ]
    runs = [(repository.begin(args, below), told) for args, below, told in cases]
    for run_id, told in runs:
        run = repository.local.wait(run_id)
        assert (run.state, told in run.summary) == ("FAILED", True), run.summary
    status, line = repository.review("--base=--output=x")
    assert (status, "argument 'base' of skill 'review'" in line) == (1, True), line
    assert repository.asked() == []


def test_a_review_of_which_nothing_came_has_failed(repository: Repository) -> None:
    """Where all reviewers fail, and where no finding could be checked; what was found is in the report all the same."""
    repository.write("pages.py", CHANGED)
    refusing = Error(status=400, type="invalid_request_error", message="no such model")
    repository.local.model.add(Rule(match="You look for one kind", error=refusing))
    status, line = repository.review("--id", "failed")
    assert status == 1
    assert "nothing was reviewed, since every reviewer has failed: correctness: " in line
    assert "no such model" in line
    repository.local.model.replace(
        Rule(match="You look for one kind", reply=findings(finding("Full pages count twice"))),
        Rule(error=refusing),
    )
    status, line = repository.review("--reviewers", '["correctness", "tests"]', "--checks", "1", "--id", "failed-again")
    assert status == 1
    assert "no finding could be checked, so that none is confirmed: the check has failed: " in line
    report = repository.files("failed-again")["report.md"]
    assert "**no findings confirmed, 2 not checked; first: pages.py:2 Full pages count twice**" in report
    missing = section(report, "What this review does not cover")
    assert "A problem may be there twice, since findings could not be compared: " in missing
    assert "Full pages count twice: only the 1 most severe were checked" in missing
