"""Commands that a skill's step runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sagaflow_mcp import commands
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from pathlib import Path


def ran(folder: Path, command: str, *given: Any) -> commands.Result:
    """What comes of it there."""
    return anyio.run(commands.run, command, str(folder), *given)


def test_what_comes_of_a_command_is_told(tmp_path: Path) -> None:
    """Where it ran, what it printed, errors among it, and its exit status."""
    result = ran(tmp_path, "pwd; echo two >&2; exit 3")
    assert (result.status, result.output) == (3, f"{tmp_path}\ntwo\n")
    assert (result.passed, result.outcome) == (False, "exit status 3")
    assert ran(tmp_path, "true").passed


def test_a_command_that_takes_too_long_has_no_exit_status(tmp_path: Path) -> None:
    """It is a result like others, with what it had printed."""
    result = ran(tmp_path, "echo begun; exec sleep 1000", 2)
    assert (result.status, result.passed, result.output) == (None, False, "begun\n")
    assert result.outcome == "ended after 2 s, its time limit"


def test_a_command_whose_watch_is_killed_has_no_exit_status(tmp_path: Path) -> None:
    """It is not taken for one that passed."""
    result = ran(tmp_path, "kill -9 $PPID; echo on")
    assert (result.status, result.passed) == (None, False)
    assert result.outcome == "without exit status: what watches over it was killed"


def test_a_long_output_is_shown_by_its_beginning_and_its_end(tmp_path: Path) -> None:
    """With how much is left out."""
    result = ran(tmp_path, "seq 1 20000", 60, {}, 4)
    assert result.output == "1\n2\n\n(108,886 of 108,894 bytes left out)\n000\n"


def test_a_command_has_the_variables_that_it_is_given_and_no_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Besides those of the worker."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    monkeypatch.setenv("OTHER", "kept")
    assert ran(tmp_path, "echo $ANTHROPIC_API_KEY-$OTHER-$SEED", 60, {"SEED": "7"}).output == "-kept-7\n"


def test_a_folder_that_is_gone_is_refused(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(Refusal, match="gone' is gone; without it no command can be run"):
        ran(tmp_path / "gone", "true")
