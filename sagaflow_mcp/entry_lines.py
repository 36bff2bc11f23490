"""How an agent's session is shown an inbox entry: as one harmless line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagaflow_mcp import records

if TYPE_CHECKING:
    from sagaflow_mcp.records import Entry

NAME_LIMIT = 60
SUMMARY_LIMIT = 240
PATH_LIMIT = 200


def line(entry: Entry) -> str:
    """Status, skill, run, summary and report."""
    skill = records.one_line(entry.skill, NAME_LIMIT)
    text = f"- {entry.status} {skill}, run {entry.run_id}: {records.one_line(entry.summary, SUMMARY_LIMIT)}"
    # Half a path is none.
    path = records.one_line(entry.report_path, PATH_LIMIT)
    return f"{text} (report: {path})" if path and path == entry.report_path else text
