"""The hook that waits beside a session in a terminal: here this test is the Claude Code that starts it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import claude_process, claude_sessions, inbox, wakeups
from sagaflow_mcp.claude_sessions import Note
from tests import process_table
from tests.integration.launched_runs import LaunchedRuns
from tests.waiting import LIMIT_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagaflow_mcp.paths import Home

RUN_SH = Path(__file__).parents[2] / "hooks" / "run.sh"
SESSION = "5e55-1"


class Claude(LaunchedRuns):
    """A session in a terminal, as far as hooks see it."""

    def __init__(self, home: Home) -> None:
        super().__init__(home)
        self.hooks: list[subprocess.Popen[str]] = []

    def begins(self, name: str = "wait", session_id: str = SESSION, **environ: str) -> subprocess.Popen[str]:
        """The hook, told of an event of the session."""
        environment = {"PATH": os.environ["PATH"], "SAGAFLOW_HOME": self.home.root, "CLAUDE_CODE_ENTRYPOINT": "cli"}
        hook = subprocess.Popen(
            ["sh", str(RUN_SH), name],
            env={**environment, "CLAUDE_CODE_SESSION_ID": session_id, **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self.hooks.append(hook)
        assert hook.stdin is not None
        # One that leaves at once reads nothing.
        with contextlib.suppress(BrokenPipeError), hook.stdin as stdin:
            stdin.write(json.dumps({"session_id": session_id, "cwd": "/projects/mine"}))
        hook.stdin = None
        return hook

    def waits(self, name: str = "wait", session_id: str = SESSION) -> subprocess.Popen[str]:
        """The same, once it is the one that waits."""
        hook = self.begins(name, session_id)
        lock = wakeups.Wakeups(self.home, self.process, session_id).lock
        eventually(lambda: _is_locked(lock) or hook.poll() is not None, "the lock")
        assert hook.poll() is None
        return hook


def _is_locked(path: str) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def told(hook: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """The exit status of a hook, and its lines."""
    assert hook.stdout is not None
    assert hook.stderr is not None
    status = hook.wait(LIMIT_SECONDS)
    assert hook.stdout.read() == ""
    return status, hook.stderr.read().splitlines()


@pytest.fixture
def claude(home: Home) -> Iterator[Claude]:
    """A session that leaves no hook behind."""
    found = Claude(home)
    yield found
    for hook in found.hooks:
        hook.kill()
        with hook:
            pass


def test_a_session_is_woken_by_what_its_run_has_come_to(claude: Claude) -> None:
    """With one line, which the session is not told again; the next wait has nothing to wait for."""
    claude.runs("run-1")
    hook = claude.waits("launched")
    claude.ends("run-1", summary="hello <b>alice</b>")
    report = f"{claude.home.root}/runs/run-1/report.md"
    assert told(hook) == (2, [f"- DONE hello, run run-1: hello \u2039b\u203aalice\u2039/b\u203a (report: {report})"])
    assert inbox.claimed(claude.home, SESSION) == {"run-1~1"}
    assert told(claude.begins()) == (0, [])


def test_a_run_that_ended_before_anybody_waited_is_told(claude: Claude) -> None:
    """As one that takes no longer than its launch."""
    claude.runs("run-1")
    claude.ends("run-1")
    status, lines = told(claude.begins("launched"))
    assert (status, len(lines)) == (2, 1)


@pytest.mark.parametrize("status", ["FAILED", "NEEDS_INPUT", "PAUSED"])
def test_failures_pauses_and_questions_wake(claude: Claude, status: str) -> None:
    """Whatever a person should know of at once."""
    claude.runs("run-1")
    hook = claude.waits()
    claude.ends("run-1", status)
    assert told(hook)[1][0].startswith(f"- {status} hello, run run-1")


def test_a_note_wakes_nobody_but_comes_along(claude: Claude) -> None:
    """It is part of what a session is woken with for another reason."""
    for run_id in ("run-1", "run-2"):
        claude.runs(run_id)
    hook = claude.waits()
    claude.ends("run-1", "NOTE")
    waking = wakeups.Wakeups(claude.home, claude.process, SESSION)
    assert not waking.are_due(time.time() + 10)
    claude.ends("run-2")
    status, lines = told(hook)
    assert (status, len(lines)) == (2, 2)


@pytest.mark.parametrize(
    "environ",
    [
        {"CLAUDE_CODE_ENTRYPOINT": "sdk-cli"},
        {"CLAUDE_CODE_ENTRYPOINT": ""},
        {"SAGAFLOW_INBOX_WAKE": "0"},
        {"CLAUDE_PLUGIN_OPTION_WAKE": "false"},
        {"SAGAFLOW_IN_RUN": "1"},
    ],
)
def test_where_nobody_is_to_be_woken_nothing_waits(claude: Claude, environ: dict[str, str]) -> None:
    """Without a terminal Claude Code would not end; what has come stays for the next prompt."""
    claude.runs("run-1")
    claude.ends("run-1")
    claude.runs("run-2")
    for name in ("wait", "launched"):
        assert told(claude.begins(name, **environ)) == (0, [])
    assert inbox.claimed(claude.home, SESSION) == set()


def test_a_launch_without_a_terminal_is_noted(claude: Claude) -> None:
    """The launcher, which then tells the session, is not told which one it is."""
    assert told(claude.begins("launched", CLAUDE_CODE_ENTRYPOINT="sdk-cli")) == (0, [])
    assert claude_sessions.find(claude.home, claude.process.key) == Note(SESSION, "/projects/mine")


def test_runs_of_others_wake_nobody_here(claude: Claude) -> None:
    """Of another Claude Code, of a shell, and of a process whose pid has been used again."""
    for number, launcher in enumerate(["1-1", "", f"{os.getpid()}-1"]):
        claude.runs(f"run-{number}", launcher)
        claude.runs(f"open-{number}", launcher)
        claude.ends(f"run-{number}")
    assert told(claude.begins()) == (0, [])


def test_one_waits_however_many_are_started(claude: Claude) -> None:
    """The others leave; the one that waits sees what was launched later, too."""
    claude.runs("run-1")
    first = claude.waits()
    claude.runs("run-2")
    assert told(claude.begins("launched")) == (0, [])
    claude.ends("run-2")
    assert told(first)[0] == 2


def test_two_hundred_endings_are_two_wake_ups(claude: Claude) -> None:
    """The first at once; the next one, a minute later, has all the rest: five lines and a number."""
    for number in range(200):
        claude.runs(f"run-{number:03}")
    first = claude.waits()
    for number in range(40):
        claude.ends(f"run-{number:03}")
    status, lines = told(first)
    assert status == 2
    hook = claude.waits()
    for number in range(40, 200):
        claude.ends(f"run-{number:03}")
    waking = wakeups.Wakeups(claude.home, claude.process, SESSION)
    woken_at = float(Path(waking.lock.replace(".waiter", ".woken")).read_text(encoding="utf-8"))
    assert not waking.are_due(woken_at + 1)
    assert not waking.are_due(woken_at + 59)
    assert hook.poll() is None
    # As if that minute had passed.
    Path(waking.lock.replace(".waiter", ".woken")).write_text(f"{woken_at - 60}\n", encoding="utf-8")
    status, more = told(hook)
    assert status == 2
    assert (len(lines), len(more)) == (6, 6)
    numbers = [int(each[-1].split()[1]) for each in (lines, more)]
    assert [each[-1] for each in (lines, more)] == [f"and {n} more: list_inbox shows them" for n in numbers]
    assert sum(numbers) + 10 == 200
    assert len(inbox.claimed(claude.home, SESSION)) == 200
    assert told(claude.begins()) == (0, [])


def test_the_session_that_the_process_is_in_now_is_woken(claude: Claude) -> None:
    """After `/clear` the old hook goes on waiting, and what it tells counts for the new session."""
    claude.runs("run-1")
    hook = claude.waits(session_id="5e55-1")
    claude_sessions.write(claude.home, claude.process, Note("5e55-2", "/projects/mine"))
    claude.ends("run-1")
    assert told(hook)[0] == 2
    assert inbox.claimed(claude.home, "5e55-1") == set()
    assert inbox.claimed(claude.home, "5e55-2") == {"run-1~1"}


def test_a_session_that_is_resumed_elsewhere_is_woken_there(claude: Claude) -> None:
    """What it launched in a process that has ended, is still its own."""
    ended = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    other = claude_process.of(ended.pid)
    assert other is not None
    claude_sessions.write(claude.home, other, Note(SESSION, "/projects/mine"))
    claude.runs("run-1", other.key)
    assert told(claude.begins()) == (0, [])
    ended.communicate(b"\n")
    hook = claude.waits()
    claude.ends("run-1")
    assert told(hook)[0] == 2


def test_sigterm_ends_it_at_once(claude: Claude) -> None:
    """As Claude Code sends it at its own end."""
    claude.runs("run-1")
    hook = claude.waits()
    hook.terminate()
    assert told(hook) == (-signal.SIGTERM, [])


STAND_IN = """
import os, subprocess, sys, time
hook = subprocess.Popen(["sh", sys.argv[1], "launched"], stdin=subprocess.DEVNULL)
print(hook.pid, flush=True)
time.sleep(3600)
"""


def test_it_does_not_outlive_claude_code(claude: Claude) -> None:
    """Older versions leave their hooks behind, and a kill -9 leaves nobody to end them."""
    environ = {"PATH": os.environ["PATH"], "SAGAFLOW_HOME": claude.home.root, "CLAUDE_CODE_ENTRYPOINT": "cli"}
    killed = subprocess.Popen(
        [sys.executable, "-c", STAND_IN, str(RUN_SH)],
        env={**environ, "CLAUDE_CODE_SESSION_ID": SESSION},
        stdout=subprocess.PIPE,
    )
    assert killed.stdout is not None
    process = claude_process.of(killed.pid)
    assert process is not None
    claude.runs("run-1", process.key)
    hook = int(killed.stdout.readline())
    eventually(lambda: _is_locked(wakeups.Wakeups(claude.home, process, SESSION).lock), "the waiting hook")
    killed.kill()
    killed.communicate()
    eventually(lambda: process_table.is_gone(hook), "the end of the hook")
