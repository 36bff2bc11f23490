"""The skills that can be launched."""

from __future__ import annotations

from pathlib import Path

import pytest

from sagaflow_mcp import catalog, records, wording
from sagaflow_mcp.errors import Refusal

ROOT = Path(__file__).parents[2]

REGISTERS = "def register(registry):\n    raise SystemExit('discovery must not run this')\n"


def add(root: Path, name: str, **files: str) -> Path:
    """A skill in `root`; a workflow skill unless `files` says otherwise. Keys name files without their suffix."""
    folder = root / name
    folder.mkdir(parents=True)
    for stem, text in (files or {"__init__": REGISTERS, "workflow": ""}).items():
        (folder / (f"{stem}.md" if stem == "SKILL" else f"{stem}.py")).write_text(text, encoding="utf-8")
    return folder


def only(root: Path) -> tuple[catalog.Root, ...]:
    """One root."""
    return (catalog.Root("path", root),)


def test_roots_come_nearest_first(tmp_path: Path) -> None:
    """The named folders in their order, then Claude Code's, then the bundled skills."""
    environ = {"SAGAFLOW_SKILLS_PATH": f"{tmp_path}/a:~/b::", "HOME": str(tmp_path)}
    found = catalog.roots(environ)
    assert [each.kind for each in found] == ["path", "path", "user", "bundled"]
    assert [each.path for each in found[:3]] == [tmp_path / "a", tmp_path / "b", tmp_path / ".claude" / "skills"]


def test_claude_codes_own_folder_can_be_elsewhere(tmp_path: Path) -> None:
    """`CLAUDE_CONFIG_DIR` moves it, as it does for Claude Code."""
    found = catalog.roots({"CLAUDE_CONFIG_DIR": str(tmp_path / "cc"), "HOME": "/nowhere"})
    assert found[0] == catalog.Root("user", tmp_path / "cc" / "skills")


def test_the_bundled_skills_are_always_there() -> None:
    """A fresh installation has something to launch."""
    listed = catalog.listing(catalog.roots({"HOME": "/nowhere"}))
    folders = sorted(each.parent.name for each in ROOT.glob("skills/*/SKILL.md"))
    assert [each.name for each in listed if each.launchable] == folders
    expected = {"approval", "deep-research", "fan-out", "flaky-test", "hello-world", "review", "task", "until-done"}
    assert expected <= set(folders)
    assert {(each.root_kind, bool(each.description)) for each in listed} == {("bundled", True)}


def test_the_bundled_skills_can_be_had_whatever_the_user_has(tmp_path: Path) -> None:
    """The same folder in which they are found otherwise."""
    (root,) = catalog.bundled()
    assert root == catalog.roots({"HOME": str(tmp_path)})[-1]
    assert catalog.find("task", catalog.bundled()).root == "bundled"


def test_the_nearest_skill_of_a_name_is_found(tmp_path: Path) -> None:
    """A user's own version goes before a bundled one."""
    near, far = add(tmp_path / "1", "x"), add(tmp_path / "2", "x")
    roots = (*only(tmp_path / "1"), *only(tmp_path / "2"))
    assert catalog.find("x", roots).path == near
    assert catalog.listing(roots)[0].shadows == (far,)


def test_finding_and_listing_run_nothing_of_a_skill(tmp_path: Path) -> None:
    """Otherwise a folder from anywhere would run just by being there."""
    add(tmp_path, "x", __init__=f"raise SystemExit('imported')\n{REGISTERS}")
    assert catalog.find("x", only(tmp_path)).form == "workflow"
    assert catalog.listing(only(tmp_path))[0].problem is None


def test_an_unknown_skill_is_refused_with_near_names_and_where_it_looked(tmp_path: Path) -> None:
    """The sentence is enough to put a typo right."""
    add(tmp_path, "hello-world")
    with pytest.raises(Refusal) as refused:
        catalog.find("helo-world", only(tmp_path))
    assert str(refused.value) == f"there is no skill 'helo-world'; did you mean 'hello-world'? Looked in {tmp_path}"


def test_of_many_names_as_many_are_told_as_leave_room_for_where_it_looked(tmp_path: Path) -> None:
    """A sentence is cut at its end."""
    for number in range(50):
        add(tmp_path, f"{'long-' * 11}{number}")
    with pytest.raises(Refusal) as refused:
        catalog.find("zzz", only(tmp_path))
    assert str(refused.value).endswith(f"\u2026. Looked in {tmp_path}")
    assert len(str(refused.value)) < records.SENTENCE_LIMIT


@pytest.mark.parametrize("name", ["", "..", "../x", "x/y", "X", "-x", "x" * 65, "x\n", "x\0"])
def test_a_name_that_cannot_be_a_skills_is_unknown(tmp_path: Path, name: str) -> None:
    """No path is built from it."""
    add(tmp_path / "in", "x")
    add(tmp_path, "x")
    with pytest.raises(Refusal, match="there is no skill"):
        catalog.find(name, only(tmp_path / "in"))


def test_a_skill_that_is_a_skill_md_alone_can_be_launched(tmp_path: Path) -> None:
    """As an agent."""
    add(tmp_path, "x", SKILL="---\nname: x\ndescription: Does x.\n---\n")
    assert catalog.find("x", only(tmp_path)).form == "agent"
    listed = catalog.listing(only(tmp_path))[0]
    assert (listed.form, listed.description, listed.problem, listed.launchable) == ("agent", "Does x.", None, True)


def test_an_ordinary_skill_of_claude_code_is_not_called_broken(tmp_path: Path) -> None:
    """Nothing is wrong with it, also where its folder has a name that it cannot be launched by."""
    add(tmp_path, "PDF tools", SKILL="---\ndescription: Reads.\n---\n")
    (listed,) = catalog.listing(only(tmp_path))
    assert (listed.form, listed.problem) == ("agent", None)
    assert wording.skill(listed) == "PDF tools  [path]  not launchable under this name: Reads."


def test_one_skill_is_described_without_reading_the_others(tmp_path: Path) -> None:
    """Its description, and what it shadows."""
    near, far = add(tmp_path / "1", "x"), add(tmp_path / "2", "x")
    (near / "SKILL.md").write_text("---\ndescription: Does x.\n---\n", encoding="utf-8")
    unreadable = add(tmp_path / "1", "y")
    (unreadable / "__init__.py").write_text("not Python", encoding="utf-8")
    roots = (*only(tmp_path / "1"), *only(tmp_path / "2"))
    found = catalog.describe("x", roots)
    assert (found.description, found.shadows, found.problem) == ("Does x.", (far,), None)
    assert found in catalog.listing(roots)


@pytest.mark.parametrize("name", ["gone", "../x", ""])
def test_what_is_not_there_is_not_described(tmp_path: Path, name: str) -> None:
    """It may have gone a moment ago."""
    add(tmp_path, "x")
    with pytest.raises(Refusal, match="there is no skill"):
        catalog.describe(name, only(tmp_path))


def test_a_broken_skill_is_listed_with_the_file_and_the_line(tmp_path: Path) -> None:
    """One broken skill hides no other."""
    folder = add(tmp_path, "bad", __init__=REGISTERS, workflow="x = 1\ndef broken(:\n")
    add(tmp_path, "good")
    bad, good = catalog.listing(only(tmp_path))
    assert bad.problem == f"skill 'bad' has a syntax error in {folder}/workflow.py, line 2: invalid syntax"
    assert good.problem is None


@pytest.mark.parametrize("text", ["return 1", "x = '\0'", "\ufeff\ufeffx", "nonlocal x"])
def test_whatever_makes_a_module_unusable_is_a_problem(tmp_path: Path, text: str) -> None:
    """Also what only the compiler finds."""
    add(tmp_path, "bad", __init__=REGISTERS, workflow=text)
    assert "workflow.py" in (catalog.listing(only(tmp_path))[0].problem or "")


def test_python_that_nobody_imports_may_be_broken(tmp_path: Path) -> None:
    """A folder of templates is no package."""
    folder = add(tmp_path, "x")
    add(folder, "templates", module="class {{ name }}:\n")
    assert catalog.listing(only(tmp_path))[0].problem is None


def test_a_skill_without_register_is_a_problem(tmp_path: Path) -> None:
    """It shows without running the skill."""
    add(tmp_path, "x", __init__="")
    assert "has neither a register(registry) in __init__.py nor a function with @skill" in (
        catalog.listing(only(tmp_path))[0].problem or ""
    )


def test_a_function_describes_its_skill(tmp_path: Path) -> None:
    """By the first paragraph of its docstring; a SKILL.md says it better."""
    source = '''from sagaflow_mcp import skill\n@skill("x")\nasync def x(ctx):\n    """Do\n    it.\n\n    More."""\n'''
    add(tmp_path, "x", workflow=source)
    assert catalog.listing(only(tmp_path))[0].description == "Do it."
    (tmp_path / "x" / "SKILL.md").write_text("---\ndescription: Does it.\n---\n", encoding="utf-8")
    assert catalog.listing(only(tmp_path))[0].description == "Does it."


@pytest.mark.parametrize("file", ["__init__", "workflow"])
def test_a_function_with_skill_is_enough(tmp_path: Path, file: str) -> None:
    """In either of the two files."""
    add(tmp_path, "x", **{file: "from sagaflow_mcp import skill\n"})
    assert catalog.listing(only(tmp_path))[0].problem is None


def test_a_badly_named_folder_is_listed_with_the_rule(tmp_path: Path) -> None:
    """Its author learns why it cannot be launched."""
    add(tmp_path, "My Skill")
    assert "is not a skill's name" in (catalog.listing(only(tmp_path))[0].problem or "")


@pytest.mark.parametrize("files", [{"SKILL": ""}, {"__init__": REGISTERS}])
def test_a_badly_named_folder_is_refused_with_what_keeps_it_from_running(tmp_path: Path, files: dict[str, str]) -> None:
    """It is listed by that name, so nobody is told that it is not there."""
    add(tmp_path, "My Skill", **files)
    with pytest.raises(Refusal, match="is not a skill's name"):
        catalog.find("My Skill", only(tmp_path))


def test_folders_without_a_skill_and_missing_roots_are_passed_over(tmp_path: Path) -> None:
    """A root may hold anything."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert catalog.listing((*only(tmp_path), *only(tmp_path / "missing"), *only(tmp_path / "file"))) == []


@pytest.mark.parametrize(
    ("front", "expected"),
    [
        ("description: Plain words.", "Plain words."),
        ('description: "Quoted: words."', "Quoted: words."),
        ("description: >\n  Folded\n  words.\nname: x", "Folded words."),
        ("description: Begun\n  and continued.", "Begun and continued."),
        ("name: x", ""),
        ("description:", ""),
        (f"description: {'long ' * 4000}", ("long " * 100)),
    ],
)
def test_the_description_comes_from_the_front_matter(tmp_path: Path, front: str, expected: str) -> None:
    """As one bounded line, whatever way it is written."""
    add(tmp_path, "x", SKILL=f"---\n{front}\n---\nText\n")
    assert catalog.listing(only(tmp_path))[0].description == expected


def test_a_skill_md_that_is_not_text_has_no_description(tmp_path: Path) -> None:
    """Listing never fails on one skill."""
    folder = add(tmp_path, "x", SKILL="")
    (folder / "SKILL.md").write_bytes(b"---\n\xff\xfe\x00")
    assert catalog.listing(only(tmp_path))[0].description == ""
