"""The desktop notification, by a program that stands in for the system's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import notify
from sagaflow_mcp.records import Entry
from sagaflow_mcp.settings import Settings
from tests import waiting

if TYPE_CHECKING:
    from pathlib import Path

    from sagaflow_mcp.paths import Home

ENTRY = Entry("run-1~1", "run-1", "hello", "DONE", "--all; $(is) 'well'", "2030-01-31T08:15:00Z")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of `PATH`, and empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(system: Path) -> Path:
    """The file in which a `notify-send`, now there, writes its arguments down, and then a line with a full stop."""
    said = system / "said"
    program = system / "notify-send"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" . >> '{said}'\n", encoding="utf-8")
    program.chmod(0o755)
    return said


def test_an_entry_is_shown_as_it_is(system: Path, home: Home) -> None:
    """Neither a shell nor the program's own options get hold of what a run said."""
    said = install(system)
    notify.show(Settings(home), ENTRY)
    waiting.eventually(lambda: said.exists() and said.read_text(encoding="utf-8").endswith("\n.\n"), "a notification")
    told = said.read_text(encoding="utf-8").splitlines()
    assert told == ["--app-name=Sagaflow", "--", "Sagaflow: hello DONE", ENTRY.summary, "."]


def test_a_long_summary_is_cut(system: Path) -> None:
    """A notification is a glance."""
    install(system)
    command = notify.command(ENTRY._replace(summary="x" * 500))
    assert command is not None
    assert command[-1] == "x" * 200


def test_nothing_is_shown_where_the_user_wants_none(system: Path, home: Home) -> None:
    """Of two entries only the one is shown that came after they were turned on."""
    said = install(system)
    notify.show(Settings(home, notify=False), ENTRY._replace(summary="unwanted"))
    notify.show(Settings(home), ENTRY._replace(summary="wanted"))
    waiting.eventually(lambda: said.exists() and "wanted" in said.read_text(encoding="utf-8"), "a notification")
    assert "unwanted" not in said.read_text(encoding="utf-8")


def test_nothing_happens_where_the_system_has_no_notifications(system: Path, home: Home) -> None:
    """Nor where the program for them cannot be started."""
    assert notify.command(ENTRY) is None
    notify.show(Settings(home), ENTRY)
    install(system).with_name("notify-send").write_bytes(b"no program")
    notify.show(Settings(home), ENTRY)
