"""The tool that hands a part of the work to another agent."""

from __future__ import annotations

from pydantic import BaseModel


class SpawnSubagent(BaseModel):
    """Have another agent do a part of the work; what it says in the end comes back.

    It has the same tools and folders as you but knows nothing of this conversation: its task must say all that it
    needs to know, and what to report. Subagents that you call for in the same turn work at the same time, so they must
    not change the same files.
    """

    task: str
