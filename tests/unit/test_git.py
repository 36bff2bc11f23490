"""What git says to steps, and what it refuses."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import anyio
import pytest

from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.git import Git, TooMuch

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One that holds a text longer than a pipe does."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "long").write_text("line\n" * 100_000, encoding="utf-8")
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    return tmp_path


def said(folder: Path, *arguments: str, most_bytes: int = 1_000_000) -> str:
    """What the folder's git says."""

    async def asked() -> str:
        return await (await Git.of(str(folder))).said(*arguments, most_bytes=most_bytes)

    return anyio.run(asked)


def test_what_is_too_long_is_refused(repository: Path) -> None:
    """With how long it may be; git does not go on to say the rest of it."""
    assert said(repository, "show", ":long") == "line\n" * 100_000
    with pytest.raises(TooMuch, match=r"what git show says in '.*' is over 1,000 bytes long"):
        said(repository, "show", ":long", most_bytes=1_000)


def test_git_that_takes_too_long_is_ended(repository: Path) -> None:
    """And the refusal says how long it may take."""
    with pytest.raises(TooMuch, match=r"git config took longer than 0 s in '"):
        anyio.run(Git.of, str(repository), 0.0)


def test_a_failure_is_told_in_the_words_of_git(repository: Path) -> None:
    """On one line, with the folder."""
    with pytest.raises(Refusal, match=r"git show failed in '.*': fatal: path 'gone' does not exist "):
        said(repository, "show", ":gone")


@pytest.mark.parametrize("folder", ["gone", "long"])
def test_where_git_cannot_be_run_the_refusal_says_so(repository: Path, folder: str) -> None:
    """As in what is no folder."""
    with pytest.raises(Refusal, match=r"git cannot be run in '"):
        said(repository / folder, "status")


def test_a_machine_without_git_is_told_apart(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From git that fails."""
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(Refusal, match=r"git cannot be run in '.*': there is none on the PATH; install it"):
        said(repository, "status")


def test_a_filter_that_cannot_be_turned_off_is_refused(repository: Path) -> None:
    """Git would take what stands behind the '=' for its value, and run the filter."""
    with (repository / ".git" / "config").open("a", encoding="utf-8") as file:
        file.write('[filter "a=b"]\n\tclean = cat\n')
    with pytest.raises(Refusal, match=r"git's setting 'filter\.a=b\.clean' cannot be turned off"):
        said(repository, "status")


def test_no_variable_of_the_environment_is_git_s(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as one that adds settings."""
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "filter.planted.clean")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "cat")
    assert "planted" not in said(repository, "config", "--list")
