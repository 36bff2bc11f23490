"""What a schedule is launched with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import schedules
from sagaflow_mcp.schedule_files import Schedule

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home


@pytest.mark.parametrize("own", ["/made", ""])
def test_a_schedule_finds_its_skill_where_whoever_made_it_did(home: Home, own: str) -> None:
    """Whatever the worker or the shell that launches it looks through."""
    made = Schedule("nightly", "hello-world", {}, "@daily", "UTC", 60, "skip", "", [], own, "2030-01-31T08:15:00Z")
    found = schedules.settings_for({"SAGAFLOW_HOME": home.root, "SAGAFLOW_SKILLS_PATH": "/other", "LANG": "C"}, made)
    assert (found.environ["SAGAFLOW_SKILLS_PATH"], found.environ["LANG"]) == (own, "C")
