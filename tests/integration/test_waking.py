"""A command after a reboot: runs are open, and no engine is up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sagaflow_mcp import markers, processes, records
from sagaflow_mcp.testing import LocalSagaflow
from tests.waiting import eventually


def test_the_engine_that_a_command_wakes_has_the_settings_of_the_home() -> None:
    """As one has that a launch starts: here it goes when nothing is open any more.

    The command, which is what people look at most, costs no heavy import for that.
    """
    with LocalSagaflow() as local:
        home = local.settings.home
        Path(home.config).write_text("[engine]\nidle_seconds = 0.5\n", encoding="utf-8")
        assert markers.claim(home, records.OpenRun("x-1", "x", "0" * 64, "", records.now(), ""))
        command = [sys.executable, "-X", "importtime", "-m", "sagaflow_mcp", "inbox"]
        done = subprocess.run(command, env=local.environment(), capture_output=True, encoding="utf-8", check=True)
        assert done.stdout == "the inbox is empty\n"
        said = done.stderr.splitlines()
        assert [line for line in said if not line.startswith("import time:")] == []
        loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in said}
        assert "sagaflow_mcp" in loaded
        assert loaded & {"anyio", "anthropic", "argcomplete", "mcp", "pydantic", "temporalio"} == set()
        place = processes.Place(home.engine, "engine")
        eventually(place.alive)
        markers.remove(home, "x-1")
        eventually(lambda: "idle for 0.5 s" in Path(place.log).read_text(encoding="utf-8"), seconds=30)


def test_settings_that_are_not_in_order_are_told_beside_the_answer() -> None:
    """The inbox can be read all the same."""
    with LocalSagaflow() as local:
        home = local.settings.home
        Path(home.config).write_text("[engine]\nidle_seconds = 'soon'\n", encoding="utf-8")
        assert markers.claim(home, records.OpenRun("x-1", "x", "0" * 64, "", records.now(), ""))
        command = [sys.executable, "-m", "sagaflow_mcp", "inbox"]
        done = subprocess.run(command, env=local.environment(), capture_output=True, encoding="utf-8", check=True)
        assert done.stdout == "the inbox is empty\n"
        (told,) = done.stderr.splitlines()
        assert told.startswith("sagaflow: open runs cannot go on: ")
        assert "engine.idle_seconds is 'soon'" in told
