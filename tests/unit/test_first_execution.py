"""Which execution a run began with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import artifacts
from sagaflow_mcp.durable import first_execution

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home


@pytest.fixture
def run_dir(home: Home) -> Path:
    """The folder of the run `a`."""
    folder = Path(home.run("a"))
    folder.mkdir()
    return folder


def test_the_first_to_ask_is_the_one(home: Home, run_dir: Path) -> None:
    """Again and again, and no other; before that none is known."""
    assert first_execution.known(home, "a") == ""
    assert first_execution.keep(home, "a", "one")
    assert first_execution.keep(home, "a", "one")
    assert not first_execution.keep(home, "a", "two")
    assert first_execution.known(home, "a") == "one"
    assert [each.name for each in run_dir.iterdir()] == [artifacts.EXECUTION]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"first": 5}'])
def test_a_damaged_file_refuses_nobody(home: Home, run_dir: Path, text: str) -> None:
    """It is written anew by the next to ask."""
    (run_dir / artifacts.EXECUTION).write_text(text, encoding="utf-8")
    assert first_execution.known(home, "a") == ""
    assert first_execution.keep(home, "a", "one")
    assert first_execution.known(home, "a") == "one"


def test_a_file_that_cannot_be_read_is_an_error(home: Home, run_dir: Path) -> None:
    """It is not taken for none."""
    (run_dir / artifacts.EXECUTION).mkdir()
    with pytest.raises(OSError, match="directory"):
        first_execution.known(home, "a")
