"""Making a skill out of the templates: its names, where it stands, and what is refused."""

from __future__ import annotations

import ast
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from sagaflow_mcp import catalog, cli, front_matter, scaffolding
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from pathlib import Path

FORMS = (1, 2, 3)


@pytest.mark.parametrize("name", ["greet", "fan-out", "my_tool", "2-fast", "import", "skill", "str", "a--b", "0", "a_"])
@pytest.mark.parametrize("form", FORMS)
def test_code_is_made_of_any_name(tmp_path: Path, name: str, form: int) -> None:
    """Also of one that is none in Python, or has a meaning there; nothing of the template's name is left."""
    path = scaffolding.create(name, form, tmp_path)
    assert path == tmp_path / name
    texts = {file.name: file.read_text(encoding="utf-8") for file in path.rglob("*") if file.is_file()}
    assert not any(word in text for text in texts.values() for word in ("new-skill", "new_skill", "NewSkill"))
    for file, text in texts.items():
        if file.endswith(".py"):
            ast.parse(text)
    assert f"name: {name}\n" in texts["SKILL.md"]
    assert name in front_matter.description(path / "SKILL.md")
    (listed,) = catalog.listing([catalog.Root("path", tmp_path)])
    assert (listed.name, listed.launchable) == (name, True)


@pytest.mark.parametrize("name", ["", "Greet", "a b", "../a", "-a", "a" * 65, ".a", "a/b"])
def test_what_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    """With the rule."""
    with pytest.raises(Refusal, match="is not a skill's name: 1 to 64 of a-z"):
        scaffolding.create(name, 2, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    """A folder, a file, and a link that leads nowhere."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("folder", "file", "link"):
        with pytest.raises(Refusal, match="is there already"):
            scaffolding.create(name, 2, tmp_path)
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["file", "folder", "link"]


def test_a_folder_that_cannot_be_written_is_refused(readable_by_its_owner_only: Path) -> None:
    """Where a skill is to be put into it, and where it is to be made first."""
    folder = readable_by_its_owner_only / "folder"
    folder.mkdir(mode=0o500)
    for into in (folder, folder / "missing" / "skills"):
        with pytest.raises(Refusal, match=r"no skill can be made in .*Permission denied.*--into"):
            scaffolding.create("greet", 2, into)
    (folder.parent / "file").touch()
    with pytest.raises(Refusal, match="Not a directory"):
        scaffolding.create("greet", 2, folder.parent / "file")


def test_nothing_is_left_of_a_skill_that_could_only_be_begun(tmp_path: Path) -> None:
    """Nor of the folders that were made for it: here there is room for the skill's folder, but not for its files."""
    length = os.pathconf(tmp_path, "PC_PATH_MAX") - 36
    folder = tmp_path
    while (missing := length - len(str(folder)) - 1) > 0:
        folder /= "a" * min(missing, 200)
    with pytest.raises(Refusal, match="File name too long"):
        scaffolding.create("greet", 2, folder)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a user who works in another one of theirs."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def made(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """What `sagaflow skills new WORDS --json` prints."""
    assert cli.main(["skills", "new", *words, "--json"]) == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


def test_by_default_it_is_put_where_claude_code_looks(
    user: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else is made; `CLAUDE_CONFIG_DIR` counts."""
    found = made(capsys, "greet")
    assert found == {
        "name": "greet",
        "path": f"{user}/.claude/skills/greet",
        "form": 2,
        "shadows": [],
        "shadowed_by": None,
        "next": ["sagaflow skills test greet", "sagaflow skills test --crash greet", "sagaflow launch greet --await"],
    }
    assert sorted(each.name for each in user.iterdir()) == [".claude", "work"]
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(user / "other"))
    assert made(capsys, "greet", "--form", "3")["path"] == f"{user}/other/skills/greet"


def test_another_of_its_name_is_told(
    user: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that it goes before, and one that goes before it and is found in its place."""
    first = made(capsys, "hello-world")
    assert [each.rpartition("skills/")[2] for each in first["shadows"]] == ["hello-world"]
    named = made(capsys, "hello-world", "--into", "named")
    assert named["shadows"] == []
    monkeypatch.setenv("SAGAFLOW_SKILLS_PATH", str(user / "work" / "named"))
    made(capsys, "other", "--into", "named")
    assert cli.main(["skills", "new", "other"]) == 0
    said = capsys.readouterr().out.splitlines()
    own = f"{user}/.claude/skills"
    assert said[:2] == [
        f"made {own}/other, which works as it is",
        f"the skill of the same name in {user}/work/named/other goes before it",
    ]
    assert said[3:] == [
        f"  sagaflow skills test {own}/other",
        f"  sagaflow skills test --crash {own}/other",
        f"  SAGAFLOW_SKILLS_PATH={own} sagaflow launch other --await",
    ]


def test_that_of_a_project_is_to_be_trusted_first(user: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands say so, and where it can be launched."""
    project = user / "a project"
    found = made(capsys, "hello-world", "--into", f"{project}/.claude/skills")
    assert [each.rpartition("skills/")[2] for each in found["shadows"]] == ["hello-world"]
    assert found["next"][2:] == [
        f"sagaflow skills trust '{project}'",
        f"cd '{project}' && sagaflow launch hello-world --await",
    ]
