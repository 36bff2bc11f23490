"""What was sent into this home's runs by somebody without its key, for `doctor` to tell."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import records

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home

SIZE_LIMIT = 256 * 1024
"""Bytes of the log; when it is full the oldest half goes, so that nobody can fill the disk by sending junk."""

TOLD_LIMIT = 10_000
"""Pairs of run and reason that are remembered so as not to be written twice."""


class RefusalLog(logging.Handler):
    """Keeps each refused message as a line of JSON in the home."""

    def __init__(self, home: Home) -> None:
        super().__init__()
        self._path = path(home)
        self._told: set[tuple[str, str]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what an interceptor refused."""
        self.report(str(getattr(record, "workflow_id", "")), record.getMessage())

    def report(self, workflow_id: str, reason: str) -> None:
        """Keep that messages for `workflow_id` are refused because of `reason`, once for each. Never raises."""
        # A history is read again at each replay: what was refused in it is not refused anew.
        if (workflow_id, reason) in self._told:
            return
        if len(self._told) < TOLD_LIMIT:
            self._told.add((workflow_id, reason))
        line = json.dumps({"at": records.now(), "workflow_id": workflow_id[:200], "reason": reason[:200]}) + "\n"
        try:
            if self._path.exists() and self._path.stat().st_size > SIZE_LIMIT:
                kept = self._path.read_bytes()[-SIZE_LIMIT // 2 :]
                self._path.write_bytes(kept[kept.find(b"\n") + 1 :])
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(line)
        except OSError:
            return


def path(home: Home) -> Path:
    """Where refused messages are kept."""
    return Path(home.engine) / "refused.jsonl"


def listing(home: Home) -> list[str]:
    """What was refused, oldest first, one line for each run and reason; empty when nothing was."""
    try:
        lines = path(home).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found: dict[str, str] = {}
    for line in lines:
        try:
            entry = json.loads(line)
            about = f"{entry['workflow_id'] or '?'}: {entry['reason']}"
            found.setdefault(about, records.one_line(f"{entry['at']} {about}"))
        except (ValueError, KeyError, TypeError):
            continue
    return list(found.values())
