"""Whether open runs wait for an engine, and what keeps one from being started; no engine is started here."""

from __future__ import annotations

import json
import os
from pathlib import Path

from sagaflow_mcp import markers, processes, records, waking
from sagaflow_mcp.paths import Home


def with_open_run(home: Home) -> dict[str, str]:
    """The environment of a home in which a run is open."""
    assert markers.claim(home, records.OpenRun("x-1", "x", "0" * 64, "", records.now(), ""))
    return {"SAGAFLOW_HOME": home.root}


def test_without_an_open_run_nothing_is_looked_at(tmp_path: Path) -> None:
    """The home need not be there, and is not made."""
    environ = {"SAGAFLOW_HOME": str(tmp_path / "home")}
    assert waking.wake_open_runs(Home.from_environment(environ), environ) is None
    assert list(tmp_path.iterdir()) == []


def test_settings_that_are_not_in_order_are_told(home: Home) -> None:
    """The run stays where it is until they are put right."""
    environ = with_open_run(home)
    Path(home.config).write_text("[models]\nhaiku = 5\n", encoding="utf-8")
    told = waking.wake_open_runs(home, environ)
    assert told is not None
    assert told.startswith("open runs cannot go on: ")
    assert "models.haiku is 5" in told
    assert not processes.Place(home.engine, "engine").alive()


def test_an_engine_that_is_up_is_left_alone(home: Home) -> None:
    """Whatever the settings are by now."""
    environ = with_open_run(home)
    Path(home.config).write_text("[models]\nhaiku = 5\n", encoding="utf-8")
    lock = processes.acquire(processes.Place(home.engine, "engine").lock)
    assert lock is not None
    try:
        assert waking.wake_open_runs(home, environ) is None
    finally:
        os.close(lock)


def test_no_engine_is_started_with_what_a_project_has_set(home: Home, tmp_path: Path) -> None:
    """It would have that as long as it lives, for all projects."""
    tmp_path.joinpath(".claude").mkdir()
    tmp_path.joinpath(".claude", "settings.json").write_text(
        json.dumps({"env": {"ANTHROPIC_BASE_URL": "http://x"}}), encoding="utf-8"
    )
    environ = {**with_open_run(home), "CLAUDE_PROJECT_DIR": str(tmp_path), "ANTHROPIC_BASE_URL": "http://x"}
    told = waking.wake_open_runs(home, environ)
    assert told is not None
    assert told.startswith("open runs cannot go on: ANTHROPIC_BASE_URL is 'http://x', which ")
    assert not processes.Place(home.engine, "engine").alive()
