"""The end of a log, while another process writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import processes
from sagaflow_mcp.cli_worker import Tail

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log with one line."""
    path = tmp_path / "worker.log"
    path.write_text("before\n", encoding="utf-8")
    return path


def add(log: Path, content: bytes) -> None:
    """What the process writes."""
    with log.open("ab") as file:
        file.write(content)


def test_only_what_comes_after_the_beginning_is_told_and_once(log: Path) -> None:
    """The rest is in the file."""
    tail = Tail(log)
    assert tail.lines() == []
    add(log, b"one\ntwo\n")
    assert tail.lines() == ["one", "two"]
    assert tail.lines() == []


def test_a_line_is_told_when_it_is_whole(log: Path) -> None:
    """Also when a character is torn in two."""
    tail = Tail(log)
    add(log, b"caf\xc3")
    assert tail.lines() == []
    add(log, b"\xa9\nne")
    assert tail.lines() == ["caf\u00e9"]
    add(log, b"xt\n\xff\n")
    assert tail.lines() == ["next", "\ufffd"]


def test_a_log_that_was_rotated_is_read_from_its_beginning(log: Path) -> None:
    """It is shorter then than what was read of it."""
    tail = Tail(log)
    add(log, b"long " * 100 + b"\n")
    assert len(tail.lines()) == 1
    processes.rotate(str(log), limit=10)
    add(log, b"after\n")
    assert tail.lines() == ["after"]


def test_a_log_that_is_gone_says_nothing_until_it_is_back(log: Path) -> None:
    """Somebody may clear it away."""
    tail = Tail(log)
    log.unlink()
    assert tail.lines() == []
    add(log, b"back\n")
    assert tail.lines() == ["back"]


def test_a_log_that_is_not_there_yet_is_told_from_its_beginning(tmp_path: Path) -> None:
    """The worker may be a moment behind."""
    tail = Tail(tmp_path / "worker.log")
    add(tmp_path / "worker.log", b"first\n")
    assert tail.lines() == ["first"]
