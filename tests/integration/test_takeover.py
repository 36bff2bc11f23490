"""A newer version takes over from an older one, whose runs go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sagaflow_mcp
from sagaflow_mcp import engine_client
from sagaflow_mcp.testing import LocalSagaflow
from tests.older_version import OLDER, OlderVersion
from tests.phases import ANSWERED, SKILLS, ThreeRuns

if TYPE_CHECKING:
    from pathlib import Path


def test_runs_of_an_older_version_go_on_in_a_newer_one(tmp_path: Path) -> None:
    """In every phase, with no finished step taken again; the next launch replaces the engine and its worker."""
    with LocalSagaflow(skills=[SKILLS]) as local:
        older = OlderVersion(tmp_path)
        runs = ThreeRuns(local, lambda where, gate: older.launch(local, "phases", where=where, gate=gate))
        runs.wait_until_halted()
        before = engine_client.status(local.settings.home) or {}
        assert before["version"] == OLDER

        newer = local.launch("phases", where="newer")
        runs.let_go()
        runs.ends()
        assert local.wait(newer).result == ANSWERED
        after = engine_client.status(local.settings.home) or {}
        assert after["version"] == sagaflow_mcp.__version__
        assert after["worker"]["pid"] != before["worker"]["pid"]
