"""The digest of a skill's directory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import digest
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from pathlib import Path


def skill(folder: Path, **extra: str) -> str:
    """A directory with a few files; the names in `extra` use `__` for `/`."""
    for name, text in {"__init__.py": "x = 1\n", "prompts/a.md": "Hello\n", **extra}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return str(folder)


def test_the_same_files_elsewhere_have_the_same_digest(tmp_path: Path) -> None:
    """The digest depends on names and contents alone, not on the place."""
    first, second = digest.snapshot(skill(tmp_path / "a")), digest.snapshot(skill(tmp_path / "b"))
    assert first == second
    assert first.files == ("__init__.py", "prompts/a.md")


@pytest.mark.parametrize("change", [{"prompts/a.md": "Hullo\n"}, {"b.py": ""}, {"prompts/a.md": "Hello\n\n"}])
def test_any_edit_changes_the_digest(tmp_path: Path, change: dict[str, str]) -> None:
    """A changed, added or longer file is another version."""
    before = digest.snapshot(skill(tmp_path / "a")).digest
    assert digest.snapshot(skill(tmp_path / "a", **change)).digest != before


def test_moving_text_between_files_changes_the_digest(tmp_path: Path) -> None:
    """Two sets of files with the same bytes in a row are still different."""
    one = digest.snapshot(skill(tmp_path / "a", p="xy", q="")).digest
    assert digest.snapshot(skill(tmp_path / "b", p="x", q="y")).digest != one


def test_renaming_a_file_changes_the_digest(tmp_path: Path) -> None:
    """Prompts are found by name."""
    one = digest.snapshot(skill(tmp_path / "a", p="text")).digest
    assert digest.snapshot(skill(tmp_path / "b", q="text")).digest != one


def test_the_executable_bit_does_not_matter(tmp_path: Path) -> None:
    """Copies lose it, and nothing in a skill is executed as a file."""
    folder = skill(tmp_path)
    before = digest.snapshot(folder)
    (tmp_path / "__init__.py").chmod(0o755)
    assert digest.snapshot(folder) == before


@pytest.mark.parametrize(
    "name",
    [
        ".git/HEAD",
        ".git",
        "__pycache__/a.cpython-311.pyc",
        "prompts/__pycache__/a.pyc",
        ".venv/bin/python",
        "venv/x",
        "node_modules/x/y.js",
        ".mypy_cache/x",
        ".pytest_cache/x",
        ".ruff_cache/x",
        "a.pyc",
        ".DS_Store",
        "prompts/a.md~",
        "prompts/.a.md.swp",
    ],
)
def test_caches_and_environments_are_left_out(tmp_path: Path, name: str) -> None:
    """What tools leave behind is no part of a skill."""
    before = digest.snapshot(skill(tmp_path / "a"))
    assert digest.snapshot(skill(tmp_path / "a", **{name: "noise"})) == before


def test_a_link_to_a_file_inside_counts_as_its_content(tmp_path: Path) -> None:
    """A link inside the skill is as good as a second copy."""
    folder = skill(tmp_path / "a")
    (tmp_path / "a" / "prompts" / "b.md").symlink_to("a.md")
    assert digest.snapshot(folder) == digest.snapshot(skill(tmp_path / "b", **{"prompts/b.md": "Hello\n"}))


def test_a_link_to_a_folder_inside_counts_as_its_files(tmp_path: Path) -> None:
    """The same holds for a folder."""
    folder = skill(tmp_path / "a")
    (tmp_path / "a" / "more").symlink_to("prompts")
    assert "more/a.md" in digest.snapshot(folder).files


def test_a_skill_that_is_itself_a_link_is_followed(tmp_path: Path) -> None:
    """People link skills they develop into Claude Code's folder."""
    plain = digest.snapshot(skill(tmp_path / "a"))
    (tmp_path / "b").symlink_to("a")
    assert digest.snapshot(str(tmp_path / "b")) == plain


@pytest.mark.parametrize("target", ["../outside.txt", "/etc/hostname", "../../missing", "missing"])
def test_a_link_out_of_the_skill_or_to_nothing_is_refused_by_name(tmp_path: Path, target: str) -> None:
    """A copy could not have what it points to."""
    folder = skill(tmp_path / "a")
    (tmp_path / "outside.txt").write_text("secret", encoding="utf-8")
    (tmp_path / "a" / "link").symlink_to(target)
    with pytest.raises(Refusal, match=r"a/link"):
        digest.snapshot(folder)


def test_a_link_in_a_circle_is_refused_by_name(tmp_path: Path) -> None:
    """It would never end."""
    folder = skill(tmp_path / "a")
    (tmp_path / "a" / "prompts" / "up").symlink_to("..")
    with pytest.raises(Refusal, match=r"prompts/up' leads in a circle"):
        digest.snapshot(folder)


def test_a_skill_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """The sentence names the file to blame."""
    folder = skill(tmp_path)
    os.truncate(tmp_path / "prompts" / "a.md", digest.LIMIT_BYTES + 1)
    with pytest.raises(Refusal, match=r"more than the 50 MB .* largest is 'prompts/a.md'"):
        digest.files(folder)


def test_a_pipe_in_the_folder_is_passed_over(tmp_path: Path) -> None:
    """Opening it would wait for a writer for ever."""
    before = digest.snapshot(skill(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    assert digest.snapshot(str(tmp_path)) == before


def test_an_unreadable_file_is_refused_by_name(readable_by_its_owner_only: Path) -> None:
    """The sentence says which file it is."""
    folder = skill(readable_by_its_owner_only)
    (readable_by_its_owner_only / "prompts" / "a.md").chmod(0)
    with pytest.raises(Refusal, match=r"prompts/a\.md' is part of a skill and cannot be read: Permission denied"):
        digest.snapshot(folder)


def test_a_missing_directory_is_refused_by_name(tmp_path: Path) -> None:
    """It may have been removed since it was found."""
    with pytest.raises(Refusal, match="gone"):
        digest.snapshot(str(tmp_path / "gone"))
