"""The Claude Code process that a part of Sagaflow works for, and the session that it is in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import claude_process, claude_sessions
from sagaflow_mcp.claude_process import ClaudeProcess
from sagaflow_mcp.claude_sessions import Note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagaflow_mcp.paths import Home


@pytest.fixture
def started() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a name that looks like the end of one."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_a_process_is_told_from_another_that_gets_its_pid(started: subprocess.Popen[bytes]) -> None:
    """By the moment at which it started; also while nobody has taken note of its end."""
    found = claude_process.of(started.pid)
    assert found is not None
    assert found == claude_process.of(started.pid) == claude_process.parse(found.key)
    assert found.lives()
    assert ClaudeProcess(found.pid, "1").lives() == (sys.platform == "darwin")
    started.kill()
    os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
    assert found.lives() == (sys.platform == "darwin")
    started.wait()
    assert not found.lives()
    assert claude_process.of(started.pid) is None


@pytest.mark.parametrize("key", ["", "1", "-1", "0-1", "1-", "1-1/2", "../1-1", "1-1.waiter", "x-1", "1-" + "1" * 41])
def test_what_is_no_key_names_no_process(key: str) -> None:
    """Nor a file anywhere else."""
    assert claude_process.parse(key) is None


def test_a_server_works_for_the_process_that_its_launcher_names() -> None:
    """Without a launcher, or with nonsense from one, it is its own parent."""
    parent = claude_process.of(os.getppid())
    assert parent is not None
    assert claude_process.of_server({claude_process.VARIABLE: "7-8"}) == "7-8"
    for said in ("", "nonsense"):
        assert claude_process.of_server({claude_process.VARIABLE: said}) == parent.key


def test_a_note_is_written_only_where_it_says_something_new(home: Home) -> None:
    """A hook that has nothing to note costs no write."""
    process = ClaudeProcess(7, "8")
    note = Note("5e55-1", '/projects/"mine"')
    claude_sessions.write(home, process, note)
    file = Path(home.sessions, "7-8")
    assert claude_sessions.find(home, "7-8") == note
    before = file.stat().st_ino
    claude_sessions.write(home, process, note)
    assert file.stat().st_ino == before
    claude_sessions.write(home, process, note._replace(session_id="5e55-2"))
    assert file.stat().st_ino != before


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"session_id": "x"}', "[" * 20_000])
def test_a_note_that_cannot_be_read_is_none(home: Home, text: str) -> None:
    """The next hook writes it anew."""
    Path(home.sessions, "7-8").write_text(text, encoding="utf-8")
    assert claude_sessions.find(home, "7-8") is None
    claude_sessions.write(home, ClaudeProcess(7, "8"), Note("5e55-1", "/"))
    assert claude_sessions.find(home, "7-8") == Note("5e55-1", "/")


def test_what_is_no_session_is_not_noted(home: Home) -> None:
    """An id becomes the name of a folder."""
    with pytest.raises(ValueError, match="session id"):
        claude_sessions.write(home, ClaudeProcess(7, "8"), Note("../x", "/"))
    assert claude_sessions.noted(home) == []


def test_a_session_owns_what_it_launched_in_processes_that_have_ended(home: Home) -> None:
    """Not in those that live, which are told themselves, and not what other sessions launched."""
    own = claude_process.of(os.getpid())
    parent = claude_process.of(os.getppid())
    assert own is not None
    assert parent is not None
    for key, session in ((own.key, "5e55-1"), (parent.key, "5e55-1"), ("7-8", "5e55-1"), ("7-9", "5e55-2")):
        Path(home.sessions, key).write_text(json.dumps({"session_id": session, "cwd": "/"}), encoding="utf-8")
    Path(home.sessions, "7-8.waiter").touch()
    assert claude_sessions.keys(home, own, "5e55-1") == {own.key, "7-8"}
