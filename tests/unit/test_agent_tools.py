"""What an agent's tools do, and what they keep away from."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from sagaflow_mcp import agent_tools
from sagaflow_mcp.agent_tools import Workspace, _search
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
    return anyio.run(agent_tools.use, tool, given, workspace)


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
    module = Path(workspace.project, "node_modules/x.js")
    module.parent.mkdir()
    module.write_text("three = 3\n", encoding="utf-8")
    assert use(workspace, "grep", pattern="three =", path="node_modules") == "node_modules/x.js:1:three = 3"
    assert use(workspace, "glob", pattern="*", path="node_modules") == "node_modules/x.js"
    assert use(workspace, "glob", pattern="**/*.js") == "(no file fits)"


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems have no such names")
def test_a_search_tells_names_that_are_no_text(workspace: Workspace) -> None:
    """In a form that can be sent to a model; a name with a colon does not confuse it."""
    for name in (b"\xff.md", b"a:b.md"):
        Path(os.fsdecode(os.fsencode(workspace.project) + b"/" + name)).write_text("three = 3\n", encoding="utf-8")
    assert use(workspace, "grep", pattern="three = ").splitlines() == ["a:b.md:1:three = 3", "\ufffd.md:1:three = 3"]
    assert use(workspace, "glob", pattern="*.md").splitlines() == ["a:b.md", "\ufffd.md"]


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
    """A tool that has one asks; one on reading may be left away."""
    assert agent_tools.of_claude_code(["Read(docs/**)", "Edit(docs/**)", "Write"]) == (
        ["read_file", "write_file"],
        [],
    )
    assert agent_tools.of_claude_code(["Bash(*)"]) == agent_tools.of_claude_code(["Bash"]) == (["bash"], [])
    assert agent_tools.of_claude_code(["Bash(git log:*)"]) == ([], [])
    assert agent_tools.of_claude_code(["WebSearch"]) == ([], ["WebSearch"])


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
        use(Workspace("", "/nowhere"), "read_file")
    with pytest.raises(Refusal, match="there is no tool 'shell'; there are read_file"):
        agent_tools.chosen(["shell"])


def test_a_long_result_is_cut_off(workspace: Workspace) -> None:
    """With a word on how much there is."""
    Path(workspace.project, "long.txt").write_text("x" * 60_000, encoding="utf-8")
    said = use(workspace, "read_file", path="long.txt")
    assert said.endswith("(cut off here, after 50,000 of 60,002 characters; ask for less)")


def test_a_search_reads_no_further_than_the_pattern(workspace: Workspace) -> None:
    """What a link leads to is found where the pattern names it, and `**` goes round no circle of links."""
    project = Path(workspace.project)
    (project / "src/deep/er").mkdir(parents=True)
    (project / "src/deep/er/c.py").touch()
    (project / "again").symlink_to("src")
    (project / "src/round").symlink_to("..")
    assert use(workspace, "glob", pattern="src/**/*.py") == "src/b.py\nsrc/deep/er/c.py"
    assert use(workspace, "glob", pattern="src/**") == "src/b.py\nsrc/deep/er/c.py"
    assert use(workspace, "glob", pattern="src/de*/*/*.py") == "src/deep/er/c.py"
    assert use(workspace, "glob", path="again", pattern="*.py") == "src/b.py"
    assert use(workspace, "glob", pattern="**/er/**/c.*") == "src/deep/er/c.py"


def test_a_search_that_finds_nothing_ends_in_time(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where no file fits by which it would notice."""
    monkeypatch.setattr(_search, "SECONDS", -1.0)
    with pytest.raises(Refusal, match="took longer"):
        use(workspace, "glob", pattern="**/*.nothing")


def test_a_search_where_nothing_is_says_so(workspace: Workspace) -> None:
    """Rather than that no line fits; a pipe is not waited for."""
    os.mkfifo(Path(workspace.project, "pipe"))
    for path in ("nowhere", "pipe"):
        with pytest.raises(Refusal, match="neither a file nor a folder"):
            use(workspace, "grep", pattern="x", path=path)
        with pytest.raises(Refusal, match="is not a folder"):
            use(workspace, "glob", pattern="*", path=path)
        if path == "pipe":
            with pytest.raises(Refusal, match="is not a file"):
                use(workspace, "write_file", path=path, content="x")


def test_names_and_credentials_in_capitals(workspace: Workspace) -> None:
    """A name that is not UTF-8 is told as far as it is; a key is one whatever its letters."""
    Path(workspace.project, os.fsdecode(b"\xff.py")).touch()
    assert use(workspace, "glob", pattern="*.py") == "a.py\n\ufffd.py"
    Path(workspace.project, "Server.PEM").write_text("two = key\n", encoding="utf-8")
    assert use(workspace, "grep", pattern="two", path=".").count("key") == 0


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc")
def test_processes_are_out_of_reach(workspace: Workspace) -> None:
    """Also where somebody launches from the root of the disk."""
    root = dataclasses.replace(workspace, project="/")
    with pytest.raises(Refusal, match="out of reach"):
        use(root, "read_file", path="proc/self/environ")
    assert use(root, "glob", pattern="proc/self/env*") == "(no file fits)"


def test_lines_end_where_grep_says(workspace: Workspace) -> None:
    """A form feed is none of their ends; those of Windows are kept by an edit that names none."""
    odd = Path(workspace.project, "odd.txt")
    odd.write_bytes(b"one\x0cmore\r\nneedle \x0c here\r\n")
    assert use(workspace, "read_file", path="odd.txt") == "1\tone\x0cmore\n2\tneedle \x0c here"
    assert use(workspace, "grep", pattern="needle") == "odd.txt:2:needle \x0c here"
    use(workspace, "edit_file", path="odd.txt", old="more\nneedle", new="a\nb")
    assert odd.read_bytes() == b"one\x0ca\r\nb \x0c here\r\n"


def test_what_sagaflow_keeps_of_a_run_is_out_of_reach(workspace: Workspace) -> None:
    """An agent would else read its own conversation, or change it."""
    files = Path(workspace.files)
    (files / "agents/0").mkdir(parents=True)
    (files / "agents/0/messages.jsonl").write_text("two = said\n", encoding="utf-8")
    (files / "run.json").write_text("two = run\n", encoding="utf-8")
    alone = dataclasses.replace(workspace, project="")
    assert use(alone, "grep", pattern="two") == "notes.txt:1:two = note"
    assert use(alone, "glob", pattern="**/*") == "notes.txt"
    for path in ("agents/0/messages.jsonl", "Run.json"):
        with pytest.raises(Refusal, match="one of Sagaflow's own files"):
            use(alone, "read_file", path=path)
        with pytest.raises(Refusal, match="one of Sagaflow's own files"):
            use(alone, "write_file", path=path, content="x")


def test_a_skill_in_the_home_is_not_written(workspace: Workspace) -> None:
    """Also where somebody launches from a folder that the home lies in."""
    skill = Path(workspace.hidden, "skills/x")
    skill.mkdir(parents=True)
    (skill / "template.txt").write_text("two = template\n", encoding="utf-8")
    inside = dataclasses.replace(workspace, skill=str(skill))
    assert use(inside, "read_file", path="home/skills/x/template.txt") == "1\ttwo = template"
    with pytest.raises(Refusal, match="Sagaflow's own folder"):
        use(inside, "write_file", path="home/skills/x/template.txt", content="x")


def test_an_edit_does_not_fill_the_memory(workspace: Workspace) -> None:
    """A short text that stands in many places is not made a long one in each of them."""
    many = Path(workspace.project, "many.txt")
    many.write_text("x" * 1_000_000, encoding="utf-8")
    with pytest.raises(Refusal, match="would have over 10,485,760 bytes"):
        use(workspace, "edit_file", path="many.txt", old="x", new="y" * 100, all=True)
    assert many.read_text(encoding="utf-8") == "x" * 1_000_000


def test_a_person_is_shown_what_a_call_does(workspace: Workspace) -> None:
    """Nothing that the tool ignores, nor a long value, hides what it does; a link is followed."""
    given = {"note": "ls\n" * 20_000, "timeout_seconds": 5, "command": "rm -r src"}
    found = agent_tools.about("bash", given, workspace)
    assert found == ("May an agent of this run use bash? rm -r src", "command: rm -r src\ntimeout_seconds: 5.0")
    padded = {"old": "two" + " " * 50_000, "new": "evil", "path": "src/b.py"}
    for name in ("edit_file", "mcp__any__tool"):
        edit = agent_tools.about(name, padded, workspace)
        assert edit is not None
        assert "new: evil" in edit.details
        assert "characters are not shown here)" in edit.details
    command = agent_tools.about("bash", {"command": f"ls;{' ' * 50_000};rm -r src"}, workspace)
    assert command is not None
    assert command.details.endswith(";rm -r src")
    Path(workspace.project, "docs").symlink_to("src")
    link = agent_tools.about("write_file", {"path": "docs/b.py", "content": ""}, workspace)
    assert link is not None
    assert link.details == "path: docs/b.py (which is src/b.py)\ncontent: "


@pytest.mark.parametrize(
    ("tool", "given"),
    [("bash", {}), ("bash", {"command": ["ls"]}), ("web_fetch", {"url": 5}), ("edit_file", {"path": "a.py"})],
)
def test_a_person_is_not_asked_about_a_call_that_the_tool_refuses(
    workspace: Workspace, tool: str, given: dict[str, Any]
) -> None:
    """The model is told at once what is wrong with it."""
    assert agent_tools.about(tool, given, workspace) is None
    with pytest.raises(Refusal, match=f"{tool} was given a wrong "):
        use(workspace, tool, **given)
