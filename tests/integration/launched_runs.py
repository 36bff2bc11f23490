"""Runs as the process of a test has launched them, were it a Claude Code."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import claude_process, inbox, markers, records
from sagaflow_mcp.records import Entry, OpenRun

if TYPE_CHECKING:
    from sagaflow_mcp.claude_process import ClaudeProcess
    from sagaflow_mcp.paths import Home


def this_process() -> ClaudeProcess:
    """What the hook takes for Claude Code."""
    found = claude_process.of(os.getpid())
    assert found is not None
    return found


class LaunchedRuns:
    """What this process has launched in `home`."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.process = this_process()

    def runs(self, run_id: str, launcher: str | None = None) -> None:
        """An open run that this process, or another one, has launched."""
        key = self.process.key if launcher is None else launcher
        marker = OpenRun(run_id, "hello", "d", "/projects/other", records.now(), "", key)
        markers.claim(self.home, marker)
        Path(self.home.run(run_id)).mkdir()
        Path(self.home.run(run_id), "run.json").write_text(json.dumps(marker._asdict()), encoding="utf-8")

    def ends(self, run_id: str, status: str = "DONE", summary: str = "hello") -> None:
        """The run's ending, as the reconciler delivers it."""
        report = f"{self.home.run(run_id)}/report.md"
        entry = Entry(f"{run_id}~1", run_id, "hello", status, summary, records.now(), report, "/projects/other")
        inbox.deliver(self.home, entry)
        if entry.is_ending:
            markers.remove(self.home, run_id)
