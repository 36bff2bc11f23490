"""The project that a folder belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import projects

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def user(tmp_path: Path) -> Path:
    """A user's folder, with skills of their own and a project, in which another one lies."""
    for each in ("user", "user/project", "user/project/inner/part"):
        projects.skills(tmp_path / each).mkdir(parents=True)
    (tmp_path / "user/project/.git").mkdir()
    (tmp_path / "user/project/src/deep").mkdir(parents=True)
    return tmp_path / "user"


@pytest.mark.parametrize(
    ("folder", "found"),
    [
        ("project", "project"),
        ("project/src/deep", "project"),
        ("project/.claude/skills", "project"),
        ("project/inner", "project"),
        ("project/inner/part", "project/inner/part"),
        ("project/gone", "project"),
    ],
)
def test_the_nearest_folder_with_skills_is_the_project(user: Path, folder: str, found: str) -> None:
    """From wherever in it one works."""
    assert projects.find(str(user / folder), {"HOME": str(user)}) == user / found


@pytest.mark.parametrize("folder", [".", "other", ".claude/skills/mine", ".."])
def test_the_users_own_skills_are_no_projects(user: Path, folder: str) -> None:
    """Nor are those of folders above, which all users may share."""
    (user / "other").mkdir()
    projects.skills(user.parent).mkdir(parents=True)
    assert projects.find(str(user / folder), {"HOME": str(user)}) is None


@pytest.mark.parametrize("is_file", [True, False], ids=["file", "folder"])
def test_a_repository_ends_at_its_root(user: Path, is_file: bool) -> None:
    """In a worktree and a submodule `.git` is a file."""
    clone = user / "project" / "clone"
    clone.mkdir()
    mark = clone / ".git"
    if is_file:
        mark.write_text("gitdir: /elsewhere", encoding="utf-8")
    else:
        mark.mkdir()
    assert projects.find(str(clone), {"HOME": str(user)}) is None


def test_a_project_has_one_name(user: Path) -> None:
    """Whichever link leads to it."""
    (user / "link").symlink_to(user / "project")
    assert projects.find(str(user / "link" / "src"), {"HOME": str(user)}) == user / "project"


def test_a_link_to_the_users_folder_is_still_the_users_folder(user: Path) -> None:
    """`HOME` may be given by another name."""
    (user.parent / "alias").symlink_to(user)
    assert projects.find(str(user), {"HOME": str(user.parent / "alias")}) is None


def test_a_file_in_place_of_the_skills_is_none(user: Path) -> None:
    """And so is a link to nothing."""
    for name in ("one", "two"):
        (user / name / ".claude").mkdir(parents=True)
    projects.skills(user / "one").write_text("", encoding="utf-8")
    projects.skills(user / "two").symlink_to("gone")
    assert [projects.find(str(user / name), {"HOME": str(user)}) for name in ("one", "two")] == [None, None]
