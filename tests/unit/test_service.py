"""When the engine takes itself for idle."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp.children import Children, Commands, Limits
from sagaflow_mcp.service import Service

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home

IDLE_SECONDS = 60.0


def test_an_engine_with_an_open_run_does_not_stop(home: Home) -> None:
    """Its idle time begins when the run's marker is gone, however long ago the last request was."""
    children = Children(home, Commands(), Limits())
    service = Service(home, children, children.stop)
    marker = Path(home.open_runs, "run-1")
    marker.touch()
    service.touched = time.monotonic() - 2 * IDLE_SECONDS
    service.close_if_idle(IDLE_SECONDS)
    marker.unlink()
    service.close_if_idle(IDLE_SECONDS)
    assert children.stop_reason == ""

    service.touched = time.monotonic() - 2 * IDLE_SECONDS
    service.close_if_idle(IDLE_SECONDS)
    assert children.stop_reason == "idle for 60 s"


def test_a_new_engine_waits_for_whoever_started_it(home: Home) -> None:
    """Even with no idle time at all."""
    children = Children(home, Commands(), Limits())
    service = Service(home, children, children.stop)
    service.close_if_idle(0.0)
    assert children.stop_reason == ""
