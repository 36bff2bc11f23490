"""The command in a real terminal: its looks, its questions, and the keys that end or suspend it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import inbox, records, runs, terminal
from sagaflow_mcp.paths import Home
from sagaflow_mcp.testing import LocalSagaflow, Rule
from tests import waiting
from tests.acceptance import tools
from tests.acceptance.terminals import INTERRUPT, QUIT, SUSPEND, Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SAGAFLOW = str(tools.COMMANDS / "sagaflow")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A user with one result in the inbox."""
    home = Home(str(tmp_path / "home")).prepare()
    summary = "all is well with alice, " * 8
    inbox.deliver(home, records.Entry("x-1~a", "x-1", "x", "DONE", summary, "2030-01-31T08:15:00Z"))
    return {"PATH": tools.path(), "HOME": str(tmp_path), "SAGAFLOW_HOME": home.root}


@pytest.mark.parametrize("columns", [40, 80])
def test_a_terminal_gets_colours_and_lines_that_fit(environ: dict[str, str], tmp_path: Path, columns: int) -> None:
    """No word is broken, and nothing is lost."""
    with Terminal([SAGAFLOW, "inbox"], environ, tmp_path, columns=columns) as seen:
        assert seen.ended() == 0
    assert terminal.painted("DONE", "good") in seen.output
    assert max(map(len, seen.rows)) <= columns
    words = "* 2030-01-31 08:15 DONE x-1 " + "all is well with alice, " * 8
    assert " ".join(seen.rows).split() == words.split()


@pytest.mark.parametrize("more", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_whoever_wants_no_colours_gets_none(environ: dict[str, str], tmp_path: Path, more: dict[str, str]) -> None:
    """Nor anything else but text."""
    with Terminal([SAGAFLOW, "inbox"], {**environ, **more}, tmp_path) as seen:
        assert seen.ended() == 0
    assert "DONE" in seen.output
    assert "\x1b" not in seen.output


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ("y\n", 0, "installed:"),
        ("Yes\n", 0, "installed:"),
        ("\n", 1, "nothing was changed"),
        ("no\n", 1, "nothing was changed"),
        ("\x04", 1, "nothing was changed"),
        (INTERRUPT, 130, "nothing was changed"),
    ],
    ids=["y", "Yes", "Enter", "no", "end of input", "^C"],
)
def test_the_settings_are_changed_once_the_user_says_so(
    environ: dict[str, str], tmp_path: Path, answer: str, status: int, said: str
) -> None:
    """The question names the file."""
    settings = tmp_path / ".claude" / "settings.json"
    with Terminal([SAGAFLOW, "hook", "install"], environ, tmp_path) as seen:
        assert str(settings) in seen.until("[y/N]")
        assert not settings.exists()
        seen.type(answer)
        assert seen.ended() == status
    assert said in seen.output
    assert settings.exists() == (status == 0)


@pytest.fixture(scope="module")
def sagaflow() -> Iterator[LocalSagaflow]:
    """A Sagaflow whose model answers once it is let."""
    with LocalSagaflow() as local:
        reply = "STRUCTURED_OUTPUT_START\nGREETING|hello, ${1}\nSTRUCTURED_OUTPUT_END"
        local.model.add(Rule(match=r"Please greet (\w+)", reply=reply, hold="gate"))
        yield local


WAYS = {
    "^C": (INTERRUPT, 130),
    "two ^C": (INTERRUPT * 2, 130),
    "^\\": (QUIT, -3),
    "a closed window": ("", -1),
}
"""How a user may leave a command that waits, and how that ends; a negative status is a signal."""


@pytest.mark.parametrize(("keys", "status"), WAYS.values(), ids=WAYS)
def test_whoever_stops_waiting_for_a_run_does_not_stop_the_run(sagaflow: LocalSagaflow, keys: str, status: int) -> None:
    """With ^C the command says how to find it."""
    command = [SAGAFLOW, "launch", "hello-world", "--name", "alice", "--await"]
    with Terminal(command, sagaflow.environment(), sagaflow.folder) as seen:
        run_id = seen.until("\r\n").split()[-1]
        seen.until("greeter")
        if keys:
            seen.type(keys)
        else:
            seen.close()
        ended = seen.process.wait(timeout=waiting.LIMIT_SECONDS) if not keys else seen.ended()
    assert ended == status
    assert "Traceback" not in seen.output
    told = f"sagaflow: no longer waiting; the run goes on: sagaflow show {run_id}"
    # The terminal itself echoes each ^C, the second one perhaps in front of the sentence.
    assert any(row == told or row.endswith(f"^C{told}") for row in seen.rows) == (status == 130), seen.output
    assert runs.get(sagaflow.settings.home, run_id).state == "RUNNING"


def test_a_suspended_command_goes_on_in_the_foreground(sagaflow: LocalSagaflow) -> None:
    """The shell is usable meanwhile, and the result comes when the run has ended."""
    shell = shutil.which("bash")
    assert shell
    environ = {**sagaflow.environment(), "PS1": "ready> ", "PATH": tools.path(), "HISTFILE": ""}
    with Terminal([shell, "--norc", "--noprofile", "-i"], environ, sagaflow.folder) as seen:
        seen.until("ready> ")
        seen.type("sagaflow launch hello-world --name bob --await\n")
        seen.until("greeter")
        seen.type(SUSPEND)
        assert "Stopped" in seen.until("ready> ")
        seen.type("fg\n")
        seen.until("greeter")
        sagaflow.model.release("gate")
        seen.until("hello, bob")
        seen.until("ready> ")
        seen.type("exit\n")
        assert seen.ended() == 0
    assert "Traceback" not in seen.output
