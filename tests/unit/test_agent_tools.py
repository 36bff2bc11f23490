"""What an agent's tools do, and what they keep away from."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from sagaflow_mcp import agent_tools
from sagaflow_mcp.agent_tools import Workspace
from sagaflow_mcp.errors import Refusal


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A project with some files; the home lies inside it, as where somebody launches from their home."""
    project = tmp_path / "project"
    for path, text in {
        "a.py": "one\ntwo = 1\nthree\n",
        "src/b.py": "two = 2\n",
        ".env": "two = secret\n",
        "KEY.PEM": "two = key\n",
        ".ssh/config": "two = host\n",
        ".git/config": "two = git\n",
        "home/inbox/entry.json": "two = home\n",
        "home/runs/run-1/notes.txt": "two = note\n",
    }.items():
        (project / path).parent.mkdir(parents=True, exist_ok=True)
        (project / path).write_text(text, encoding="utf-8")
    skill = tmp_path / "skill"
    skill.mkdir()
    (skill / "template.txt").write_text("two = template\n", encoding="utf-8")
    (tmp_path / "elsewhere.txt").write_text("two = elsewhere\n", encoding="utf-8")
    (project / "link").symlink_to(tmp_path)
    return Workspace(str(project), str(project / "home/runs/run-1"), str(skill), str(project / "home"))


def use(workspace: Workspace, tool: str, **given: Any) -> str:
    """What the tool says."""
    return agent_tools.use(tool, given, workspace)


def test_a_file_is_read_by_lines(workspace: Workspace) -> None:
    """With their numbers, and with how many there are beyond."""
    assert use(workspace, "read_file", path="a.py") == "1\tone\n2\ttwo = 1\n3\tthree"
    assert use(workspace, "read_file", path="a.py", offset=2, limit=1) == "2\ttwo = 1\n(1 more lines)"
    assert use(workspace, "read_file", path="a.py", offset=9) == "(a.py has 3 lines)"
    Path(workspace.project, "c.txt").write_text("one\f\ntwo", encoding="utf-8")
    assert use(workspace, "read_file", path="c.txt", offset=2) == "2\ttwo"
    assert use(workspace, "read_file", path=f"{workspace.skill}/template.txt") == "1\ttwo = template"
    assert use(workspace, "read_file", path=f"{workspace.files}/notes.txt") == "1\ttwo = note"


@pytest.mark.parametrize("tool", ["read_file", "write_file", "edit_file", "glob", "grep"])
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("../elsewhere.txt", "lies outside of"),
        ("link/elsewhere.txt", "lies outside of"),
        ("/etc/passwd", "lies outside of"),
        (".env", "credentials"),
        ("src/.env.local", "credentials"),
        (".ssh/config", "credentials"),
        ("KEY.PEM", "credentials"),
        ("home/inbox/entry.json", "Sagaflow's own folder"),
        ("home", "Sagaflow's own folder"),
        ("a\0b", "is no path"),
        ("a\ud800", "is no path"),
    ],
)
def test_what_is_out_of_reach_is_refused(workspace: Workspace, tool: str, path: str, said: str) -> None:
    """For each tool, with a sentence for the model."""
    extra = {"write_file": {"content": "x"}, "edit_file": {"old": "two", "new": "x"}}.get(tool, {"pattern": "two"})
    with pytest.raises(Refusal, match=said):
        use(workspace, tool, path=path, **extra)


def test_a_search_finds_nothing_that_is_out_of_reach(workspace: Workspace) -> None:
    """Neither credentials, nor the home, nor what a link leads to."""
    assert use(workspace, "grep", pattern="^two").splitlines() == ["a.py:2:two = 1", "src/b.py:1:two = 2"]
    assert use(workspace, "glob", pattern="**/*").splitlines() == ["a.py", "home/runs/run-1/notes.txt", "src/b.py"]
    assert use(workspace, "glob", pattern="link/*.txt") == "(no file fits)"


def test_a_search_is_narrowed(workspace: Workspace) -> None:
    """To names, to a folder, to a file; letters may be small or not."""
    assert use(workspace, "grep", pattern="TWO", ignore_case=True, include="b.*") == "src/b.py:1:two = 2"
    assert use(workspace, "grep", pattern="two", path="src") == "src/b.py:1:two = 2"
    assert use(workspace, "grep", pattern="nothing", path="a.py") == "(no line fits)"
    assert use(workspace, "glob", pattern="*.py", path="src") == "src/b.py"
    with pytest.raises(Refusal, match="search failed"):
        use(workspace, "grep", pattern="(")
    for tool in ("glob", "grep"):
        with pytest.raises(Refusal, match="cannot be searched: No such file"):
            use(workspace, tool, pattern="two", path="gone")
    with pytest.raises(Refusal, match="leads out of the folder"):
        use(workspace, "glob", pattern="../*")


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.py", ["a.py"]),
        ("*/*.py", ["src/b.py"]),
        ("**/b.*", ["src/b.py"]),
        ("src/**", ["src/b.py"]),
        ("**/**/[ab].py", ["a.py", "src/b.py"]),
        ("src/*/b.py", ["(no file fits)"]),
    ],
)
def test_a_pattern_fits_as_a_shell_has_it(workspace: Workspace, pattern: str, found: list[str]) -> None:
    """`**` stands for any folders, none as well."""
    assert use(workspace, "glob", pattern=pattern).splitlines() == found


def test_a_search_starts_in_a_folder_that_others_leave_out(workspace: Workspace) -> None:
    """Where it is told to."""
    assert use(workspace, "grep", pattern="two", path=".git") == ".git/config:1:two = git"
    assert use(workspace, "glob", pattern="*", path=".git") == ".git/config"


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems have no such names")
def test_a_search_tells_names_that_are_no_text(workspace: Workspace) -> None:
    """In a form that can be sent to a model; a name with a colon does not confuse it."""
    for name in (b"\xff.md", b"a:b.md"):
        Path(os.fsdecode(os.fsencode(workspace.project) + b"/" + name)).write_text("three = 3\n", encoding="utf-8")
    assert use(workspace, "grep", pattern="three = ").splitlines() == ["a:b.md:1:three = 3", "?.md:1:three = 3"]
    assert use(workspace, "glob", pattern="*.md").splitlines() == ["a:b.md", "?.md"]


@pytest.mark.parametrize("path", [".git/hooks/pre-commit", "src/.claude/settings.json", ".MCP.json", ".bashrc"])
def test_what_programs_run_unasked_is_not_written(workspace: Workspace, path: str) -> None:
    """A text that an agent reads could have it written, and nobody is asked."""
    with pytest.raises(Refusal, match="without asking anybody"):
        use(workspace, "write_file", path=path, content="x")


def test_sagaflows_own_files_of_a_run_are_not_written(workspace: Workspace) -> None:
    """An agent could forge how its run has ended."""
    for name in ("finding.json", "Run.json", "journal/x"):
        with pytest.raises(Refusal, match="one of Sagaflow's own files"):
            use(workspace, "write_file", path=f"{workspace.files}/{name}", content="x")
    assert use(workspace, "write_file", path=f"{workspace.files}/report.md", content="x").startswith("wrote 1")


def test_a_limit_on_changes_is_not_left_away() -> None:
    """One on reading may be."""
    assert agent_tools.of_claude_code(["Read(docs/**)", "Edit(docs/**)", "Write"]) == (
        ["read_file", "write_file"],
        ["Edit(docs/**)"],
    )


def test_a_file_is_written_and_edited(workspace: Workspace) -> None:
    """A new one in a new folder; an old one keeps its permissions."""
    project = Path(workspace.project)
    assert use(workspace, "write_file", path="new/c.txt", content="x y x") == "wrote 5 characters to new/c.txt"
    (project / "new/c.txt").chmod(0o755)
    with pytest.raises(Refusal, match="2 times"):
        use(workspace, "edit_file", path="new/c.txt", old="x", new="z")
    with pytest.raises(Refusal, match="does not hold"):
        use(workspace, "edit_file", path="new/c.txt", old="q", new="z")
    assert use(workspace, "edit_file", path="new/c.txt", old="y", new="z") == "replaced it in new/c.txt"
    assert (
        use(workspace, "edit_file", path="new/c.txt", old="x", new="", all=True) == "replaced it 2 times in new/c.txt"
    )
    assert (project / "new/c.txt").read_text(encoding="utf-8") == " z "
    assert (project / "new/c.txt").stat().st_mode & 0o777 == 0o755
    with pytest.raises(Refusal, match="lies outside of"):
        use(workspace, "write_file", path=f"{workspace.skill}/template.txt", content="x")


def test_what_is_no_text_is_refused(workspace: Workspace) -> None:
    """A folder, a pipe, bytes, something too large, something that is not there."""
    project = Path(workspace.project)
    os.mkfifo(project / "pipe")
    (project / "bytes").write_bytes(b"\xff\xfe")
    with (project / "large").open("wb") as file:
        file.truncate(11 * 1024 * 1024)
    for path, said in {
        "src": "is not a file; glob lists a folder",
        "pipe": "is not a file",
        "bytes": "not a text in UTF-8",
        "large": "at most",
        "gone": "cannot be read: No such file",
    }.items():
        with pytest.raises(Refusal, match=said):
            use(workspace, "read_file", path=path)


def test_a_wrong_input_is_named() -> None:
    """So that the model can put it right."""
    with pytest.raises(Refusal, match="read_file was given a wrong path: Field required"):
        agent_tools.use("read_file", {}, Workspace("", "/nowhere"))
    with pytest.raises(Refusal, match="there is no tool 'bash'; there are read_file"):
        agent_tools.chosen(["bash"])


def test_a_long_result_is_cut_off(workspace: Workspace) -> None:
    """With a word on how much there is."""
    Path(workspace.project, "long.txt").write_text("x" * 60_000, encoding="utf-8")
    said = use(workspace, "read_file", path="long.txt")
    assert said.endswith("(cut off here, after 50,000 of 60,002 characters; ask for less)")
