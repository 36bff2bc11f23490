"""The messages to a session without a terminal: here this test is the session, and listens."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import claude_process, claude_sessions, inbox, messenger, wakeups
from sagaflow_mcp.claude_sessions import Note
from tests.integration.launched_runs import LaunchedRuns
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagaflow_mcp.paths import Home

SESSION = "5e55-1"


class Session(LaunchedRuns):
    """A live session with a socket, and the environment that its launcher has."""

    def __init__(self, home: Home, folder: Path) -> None:
        super().__init__(home)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(folder / "s"))
        self.environ = {
            "SAGAFLOW_HOME": home.root,
            "CLAUDE_CODE_ENTRYPOINT": "sdk-cli",
            "CLAUDE_CODE_SESSION_ID": SESSION,
            messenger.SOCKET: str(folder / "s"),
            messenger.TOKEN: "open sesame",
            claude_process.VARIABLE: self.process.key,
        }

    def heard(self) -> list[dict[str, object]]:
        """The lines of the next connection."""
        connection, _ = self.socket.accept()
        with connection, connection.makefile(encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]


@pytest.fixture
def session(home: Home) -> Iterator[Session]:
    """A session that has not been told anything."""
    # Not below tmp_path: a Unix socket's path may have about 100 characters.
    folder = Path(tempfile.mkdtemp(prefix="sagaflow-test-"))
    found = Session(home, folder)
    yield found
    found.socket.close()
    shutil.rmtree(folder)


def sent(session: Session, sender: messenger.Messenger, session_id: str = SESSION) -> bool:
    """Whether the news was sent at one of the launcher's looks, of which this is the next."""
    sender.look()
    return inbox.claimed(session.home, session_id) != set()


def test_what_a_run_has_come_to_is_sent_once(session: Session) -> None:
    """What opens the socket first, then one message; the next news waits its minute."""
    session.socket.listen()
    sender = messenger.of(session.environ)
    assert sender is not None
    session.runs("run-1")
    session.ends("run-1")
    eventually(lambda: sent(session, sender), "the message")
    opened, message = session.heard()
    assert opened == {"type": "auth", "token": "open sesame"}
    report = f"{session.home.root}/runs/run-1/report.md"
    content = f"{wakeups.HEAD}\n- DONE hello, run run-1: hello (report: {report})"
    assert message == {"type": "user", "message": {"role": "user", "content": content}}
    session.runs("run-2")
    session.ends("run-2")
    waking = wakeups.Wakeups(session.home, session.process, SESSION)
    now = time.time()
    assert [waking.are_due(now + later) for later in (0, 10, 100)] == [False, False, True]
    sender.look()
    assert inbox.claimed(session.home, SESSION) == {"run-1~1"}


def test_what_cannot_be_sent_is_not_lost(session: Session) -> None:
    """Nobody listens: nothing is claimed, so that the next prompt tells it, or a later message."""
    session.runs("run-1")
    session.ends("run-1")
    sender = messenger.of(session.environ)
    assert sender is not None
    waking = wakeups.Wakeups(session.home, session.process, SESSION)
    eventually(lambda: sent(session, sender) or waking.are_due(time.time()), "the time for it")
    eventually(lambda: sent(session, sender) or sender.failures, "an attempt")
    assert inbox.claimed(session.home, SESSION) == set()
    session.socket.listen()
    eventually(lambda: sent(session, sender), "the message")
    assert len(session.heard()) == 2


def test_the_session_that_was_noted_is_told(session: Session) -> None:
    """The launcher's own environment knows only the first one."""
    session.socket.listen()
    claude_sessions.write(session.home, session.process, Note("5e55-2", "/projects/mine"))
    session.runs("run-1")
    session.ends("run-1")
    sender = messenger.of(session.environ)
    assert sender is not None
    eventually(lambda: sent(session, sender, "5e55-2"), "the message")
    assert len(session.heard()) == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"CLAUDE_CODE_ENTRYPOINT": "cli"},
        {"CLAUDE_CODE_ENTRYPOINT": None},
        {messenger.SOCKET: ""},
        {messenger.TOKEN: None},
        {claude_process.VARIABLE: ""},
        {"SAGAFLOW_INBOX_MESSAGE": "off"},
    ],
)
def test_where_there_is_no_way_for_messages_none_is_sent(session: Session, changed: dict[str, str | None]) -> None:
    """In a terminal a hook wakes the session; older versions of Claude Code have no socket."""
    environ = {**session.environ, **changed}
    assert messenger.of({name: value for name, value in environ.items() if value is not None}) is None


def test_a_home_that_a_project_names_is_not_read(session: Session, tmp_path: Path) -> None:
    """What comes from there would be a stranger's words."""
    tmp_path.joinpath(".claude").mkdir()
    settings = {"env": {"SAGAFLOW_HOME": session.home.root}}
    tmp_path.joinpath(".claude", "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    user = str(tmp_path / "user")
    assert messenger.of({**session.environ, "CLAUDE_PROJECT_DIR": str(tmp_path), "HOME": user}) is None
