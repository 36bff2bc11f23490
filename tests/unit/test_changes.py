"""What a step finds to be different in a folder."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import anyio
import pytest

from sagaflow_mcp import changes
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from pathlib import Path

AUTHOR = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "init.defaultBranch=main")


def git(folder: Path, *words: str) -> None:
    """Run git there."""
    subprocess.run(["git", *AUTHOR, *words], cwd=folder, check=True, capture_output=True)


def write(folder: Path, **files: str) -> None:
    """Write files with these names."""
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def noted(folder: Path) -> changes.Noted:
    """The folder as it is."""
    return anyio.run(changes.note, str(folder))


def since(folder: Path, before: changes.Noted) -> changes.Changes:
    """What is different now."""
    return anyio.run(changes.since, str(folder), before)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One with two files, one of which is changed and not committed."""
    git(tmp_path, "init", "-q")
    write(tmp_path, one="1\n", two="2\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "First")
    write(tmp_path, one="one\n")
    return tmp_path


def test_each_kind_of_change_is_found(tmp_path: Path) -> None:
    """Without git there is no diff; what programs make and hidden files are passed over."""
    write(tmp_path, stays="1", changes="1", goes="1", turns="1")
    before = noted(tmp_path)
    write(tmp_path, changes="2", comes="1", **{".hidden": "1"})
    (tmp_path / "goes").unlink()
    (tmp_path / "turns").chmod(0o755)
    (tmp_path / "__pycache__").mkdir()
    write(tmp_path / "__pycache__", made="1")
    found = since(tmp_path, before)
    assert (found.added, found.changed, found.removed) == (["comes"], ["changes", "turns"], ["goes"])
    assert (found.diff, found.is_whole) == ("", True)
    assert found.paths == ["changes", "comes", "goes", "turns"]


def test_what_was_changed_before_is_not_counted(repository: Path) -> None:
    """Although it is in the diff."""
    before = noted(repository)
    write(repository, two="two\n", three="3\n")
    found = since(repository, before)
    assert (found.added, found.changed, found.removed) == (["three"], ["two"], [])
    assert "+one\n" in found.diff
    assert "+two\n" in found.diff
    assert "three" not in found.diff


def test_what_is_committed_meanwhile_is_in_the_diff(repository: Path) -> None:
    """It is one from the commit that was noted."""
    before = noted(repository)
    git(repository, "commit", "-q", "-a", "-m", "Second")
    write(repository, two="two\n")
    git(repository, "commit", "-q", "-a", "-m", "Third")
    assert "+two\n" in since(repository, before).diff


def test_a_repository_without_a_commit_has_a_diff(tmp_path: Path) -> None:
    """From nothing."""
    git(tmp_path, "init", "-q")
    before = noted(tmp_path)
    write(tmp_path, one="1\n")
    git(tmp_path, "add", ".")
    found = since(tmp_path, before)
    assert found.added == ["one"]
    assert "+1\n" in found.diff


def test_the_diff_holds_no_credentials(repository: Path) -> None:
    """That such a file was changed is told all the same."""
    before = noted(repository)
    write(repository, **{".env": "KEY=secret\n", "two": "two\n"})
    git(repository, "add", ".")
    found = since(repository, before)
    assert ".env" in found.added
    assert "+two" in found.diff
    assert "secret" not in found.diff


def test_git_starts_no_program_that_the_repository_names(repository: Path) -> None:
    """Neither to watch files nor to show a diff."""
    spy = repository / ".git" / "spy"
    spy.write_text("#!/bin/sh\ntouch .git/was-here\n", encoding="utf-8")
    spy.chmod(0o755)
    for name in ("core.fsmonitor", "diff.external", "diff.shown.textconv", "core.pager"):
        git(repository, "config", name, str(spy))
    write(repository, **{".gitattributes": "* diff=shown\n"})
    before = noted(repository)
    write(repository, two="two\n")
    assert "+two" in since(repository, before).diff
    assert not (repository / ".git" / "was-here").exists()


def test_a_clean_filter_that_the_repository_names_is_not_run(repository: Path) -> None:
    """Where nothing else would tell: with the same settings, git itself runs it."""
    git(repository, "config", "filter.cleaned.clean", "touch .git/was-here; cat")
    git(repository, "config", "filter.cleaned.required", "true")
    write(repository, **{".gitattributes": "* filter=cleaned\n"})
    before = noted(repository)
    write(repository, two="two\n")
    found = since(repository, before)
    assert (found.changed, "+two\n" in found.diff) == (["two"], True)
    assert not (repository / ".git" / "was-here").exists()
    git(repository, "diff")
    assert (repository / ".git" / "was-here").exists()


def test_of_a_long_diff_the_beginning_and_the_end_are_shown(repository: Path) -> None:
    """And how much is between them."""
    before = noted(repository)
    write(repository, two="line\n" * changes.DIFF_BYTES + "the end\n")
    found = since(repository, before)
    assert found.diff.startswith("diff --git a/one b/one\n")
    assert " bytes left out)\n" in found.diff
    assert found.diff.endswith("+the end\n")


def test_where_git_would_be_told_of_too_many_files_there_is_no_diff(repository: Path) -> None:
    """Instead of one that holds credentials."""
    before = noted(repository)
    write(repository, **{f"{number}.pem": "secret\n" for number in range(changes.MOST_LEFT_OUT + 1)})
    git(repository, "add", ".")
    found = since(repository, before)
    assert len(found.added) == changes.MOST_LEFT_OUT + 1
    assert found.diff == "(no diff: 501 files that no agent may read have changed)"


def test_git_looks_at_the_folder_and_not_at_what_the_environment_names(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the one of a hook that the engine was started from."""
    monkeypatch.setenv("GIT_DIR", os.devnull)
    assert noted(repository).commit


def test_a_folder_with_very_many_files_is_looked_at_in_part(tmp_path: Path) -> None:
    """And says so; a file that now has its place among the others is the only one that is told of."""
    (tmp_path / "last").mkdir()
    for number in range(changes.MOST_FILES + 1):
        (tmp_path / "last" / f"{number}").touch()
    before = noted(tmp_path)
    assert not before.is_whole
    write(tmp_path, comes="1")
    found = since(tmp_path, before)
    assert (found.added, found.changed, found.removed, found.is_whole) == (["comes"], [], [], False)
    (tmp_path / "comes").unlink()
    assert not since(tmp_path, before).paths


def test_a_run_without_a_folder_is_refused() -> None:
    """With the way out."""
    with pytest.raises(Refusal, match="there is no folder ''; launch the run from one"):
        anyio.run(changes.note, "")
