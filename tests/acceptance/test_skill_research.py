"""The bundled skill `deep-research`, launched in a project by the command, against the offline model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sagaflow_mcp.testing import Error, LocalSagaflow, Rule, ToolUse
from tests.acceptance.bundled import Project, section

if TYPE_CHECKING:
    from pathlib import Path

QUESTION = "How many rows does an export have at most?"
PLANNER = "The question:\n\nHow many rows(?s:.*)Divide the question"
WRITER = "What was found:\n"
CHECKER = "Check these claims against {}\\.\n"
REFUSED = Error(status=400, type="invalid_request_error", message="no such model")


def part(question: str, where: str = "files", start: str = "") -> dict[str, str]:
    """A part of the plan."""
    return {"question": question, "where": where, "start": start}


def reader(question: str) -> str:
    """What is found in the first request of that part's reader."""
    return f"Find out: {question}"


def claim(text: str, source: str, quote: str = "") -> dict[str, str]:
    """A claim of a reader's."""
    return {"text": text, "source": source, "quote": quote}


def reading(*claims: dict[str, str], not_found: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a reader says."""
    return {"answer": "See the claims.", "claims": list(claims), "not_found": list(not_found)}


def judged(*verdicts: tuple[int, str, str]) -> dict[str, Any]:
    """What a check says."""
    return {"claims": [dict(zip(("number", "verdict", "evidence"), each, strict=True)) for each in verdicts]}


@pytest.fixture
def project(local: LocalSagaflow, tmp_path: Path) -> Project:
    """One whose documentation and code do not agree."""
    found = Project(local, tmp_path)
    found.write("docs/limits.md", "# Limits\n\nAn export has 500 rows at most.\n")
    found.write("export.py", "ROWS = 1000\n")
    return found


def test_each_claim_is_held_against_its_source_by_another_agent(project: Project) -> None:
    """Also where a reader says nothing, has no JSON at first, is refused a page, or names what it cannot have read."""
    project.local.model.add(
        Rule(
            match=PLANNER,
            reply={
                "parts": [part("What do the docs say?"), part("And the code?"), part("Others?", "web"), part("Old?")]
            },
        ),
        Rule(
            match=reader("What do the docs say"), tools=(ToolUse(name="read_file", input={"path": "docs/limits.md"}),)
        ),
        Rule(match="3\tAn export has 500 rows at most", reply="They say 500."),
        Rule(match="does not fit the schema:.*EOF", reply=""),
        Rule(
            match="does not fit the schema",
            reply=reading(claim("The docs allow 500 rows.", "docs/limits.md:3", "An export has 500 rows at most.")),
        ),
        Rule(
            match=reader("And the code"),
            reply=reading(
                claim("The code allows 1,000 rows.", "export.py:1", "ROWS = 1000"),
                claim("The code refuses more.", "export.py:1"),
                claim("The code logs it.", "export.py"),
                claim("It is well known.", "https://example.org/?rows=1000"),
            ),
        ),
        Rule(match=reader("Others"), tools=(ToolUse(name="web_fetch", input={"url": "http://127.0.0.1:9/limits"}),)),
        Rule(
            match="^(?!(?s:.*)What was found)(?s:.*)127.0.0.1",
            reply=reading(claim("Others allow a million.", ""), not_found=("127.0.0.1 may not be read",)),
        ),
        Rule(match=reader("Old"), reply=""),
        Rule(
            match=CHECKER.format("docs/limits.md"),
            tools=(ToolUse(name="grep", input={"pattern": "rows", "path": "docs"}),),
        ),
        Rule(
            match="docs/limits.md:3:An export",
            reply=judged((1, "supported", "An export has 500 rows at most."), (9, "supported", "x")),
        ),
        Rule(
            match=CHECKER.format("export.py"),
            reply=judged((1, "supported", "ROWS = 1000"), (2, "not in the source", "nothing is refused there")),
        ),
        Rule(
            match=WRITER,
            reply={
                "headline": "Not settled: 500 by the docs, 1,000 by the code.",
                "text": "The docs say 500 [1], the code 1,000 [2], others more (unsourced) [7].",
                "contested": ["The limit: docs [1], code [2]."],
            },
        ),
    )
    words = ("--question", QUESTION, "--sources", '["docs", "https://example.org/limits"]', "--id", "whole")
    status, line = project.launch("deep-research", *words)
    headline, _, counts = line.partition(" (")
    assert (status, headline) == (0, "Not settled: 500 by the docs, 1,000 by the code.")
    assert counts == "2 of 4 sourced claims confirmed in their source, 2 unsourced, 1 of 4 readers failed)"
    report = project.files("whole")["report.md"]
    assert report.startswith(
        f"# {QUESTION}\n\n**Not settled: 500 by the docs, 1,000 by the code.**\n\nThe docs say 500 [1]"
    )
    assert section(report, "Contested").splitlines() == [
        "- The limit: docs [1], code [2].",
        "- The code refuses more. [2] (not in the source: nothing is refused there)",
    ]
    missing = section(report, "What could not be found or done").splitlines()
    assert missing[0].startswith("- Old?: the reader has failed: the answer of agent 'reader of files' does not fit")
    assert missing[1:] == ["- 127.0.0.1 may not be read", "- The answer cites [7], which is none of the sources."]
    claims = section(report, "Claims and their checks")
    for told in (
        "### What do the docs say?\n\n- The docs allow 500 rows. [1] (confirmed in its source)",
        "- The code logs it. [2] (not checked)",
        "- It is well known. (unsourced: a reader of files cannot have read https://example.org/?rows=1000)",
        "- Others allow a million. (unsourced)",
    ):
        assert told in claims
    assert section(report, "Sources").splitlines()[:2] == [
        "1. docs/limits.md: 1 of 1 claims confirmed",
        "2. export.py: 1 of 3 claims confirmed",
    ]
    assert project.asked("Claim: The code refuses more. [2] (not in the source: nothing is refused there)")


def test_no_agent_has_both_the_files_and_the_web(project: Project) -> None:
    """Neither a reader nor a check; each reader is told of the sources of its kind and of the whole question."""
    project.local.model.add(
        Rule(match=PLANNER, reply={"parts": [part("One?", "web", "https://a.example"), part("Two?"), part("Three?")]}),
        Rule(match=reader("One"), reply=reading(claim("Yes.", "https://a.example/b#c", "yes"))),
        Rule(match=reader("Two"), reply=reading(claim("No.", "docs/limits.md", "no"))),
        Rule(match="Check these claims", reply=judged((1, "unreadable", "it could not be reached"))),
        Rule(match=WRITER, reply={"headline": "Open.", "text": "Open.", "contested": []}),
    )
    words = ("--sources", '["docs", "https://b.example"]', "--parts", "2", "--id", "apart")
    status, line = project.launch("deep-research", "--question", QUESTION, *words)
    assert (status, line) == (0, "Open. (0 of 2 sourced claims confirmed in their source)")
    given = {tuple(tool["name"] for tool in each["tools"]) for each in project.asked() if each.get("tools")}
    assert given == {("web_fetch",), ("read_file", "glob", "grep")}
    (web,), (files,) = project.asked("Find out: One?"), project.asked("Find out: Two?")
    assert "https://b.example" in str(web["messages"])
    assert "docs" not in str(web)
    assert f"The folder of the user's project is {project.folder}." in files["system"]
    assert "b.example" not in str(files)
    for each in (web, files):
        assert QUESTION in str(each["messages"])
        assert "$" not in each["system"]
    assert project.asked("Check these claims against https://a.example/b.")
    assert project.asked("Three?") == []


def test_a_research_of_which_nothing_came_does_not_claim_an_answer(project: Project) -> None:
    """Where no reader can be asked, where none finds anything, and where the answer cannot be written."""
    planned = Rule(match=PLANNER, reply={"parts": [part("One?"), part("Two?")]})
    project.local.model.replace(planned, Rule(error=REFUSED))
    status, line = project.launch("deep-research", "--question", QUESTION)
    assert (status, "nothing was read, since every reader has failed: One?: " in line) == (1, True), line
    project.local.model.replace(planned, Rule(match="Find out", reply=reading(not_found=("no number anywhere",))))
    status, line = project.launch("deep-research", "--question", QUESTION, "--id", "nothing")
    assert (status, line) == (0, "No answer was found (0 of 0 sourced claims confirmed in their source)")
    report = project.files("nothing")["report.md"]
    assert "- no number anywhere" in section(report, "What could not be found or done")
    assert section(report, "Sources") == "None: nothing here rests on a source."
    project.local.model.replace(
        planned, Rule(match="Find out", reply=reading(claim("500.", "docs/limits.md"))), Rule(error=REFUSED)
    )
    status, line = project.launch("deep-research", "--question", QUESTION, "--id", "unwritten")
    assert (status, "no such model" in line) == (1, True), line
    report = project.files("unwritten")["report.md"]
    assert "**The answer could not be written: " in report
    assert "- 500. [1] (not checked)" in section(report, "Claims and their checks")
    assert "- The check of docs/limits.md has failed: " in section(report, "What could not be found or done")


def test_what_is_no_question_is_refused(project: Project) -> None:
    """As is what is not the name of a tool of an MCP server; no model is asked."""
    status, line = project.launch("deep-research", "--question", " ")
    assert (status, "argument 'question' of skill 'deep-research'" in line) == (1, True), line
    status, line = project.launch("deep-research", "--question", QUESTION, "--search_tools", '["bash"]')
    assert (status, "argument 'search_tools' of skill 'deep-research'" in line) == (1, True), line
    assert project.asked() == []
