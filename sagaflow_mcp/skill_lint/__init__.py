"""What a skill's author should know before a run shows it, told from the source alone."""

from sagaflow_mcp.skill_lint._findings import Finding
from sagaflow_mcp.skill_lint._lint import lint
from sagaflow_mcp.skill_lint._source import Skill
from sagaflow_mcp.skill_lint._workflow_names import workflow_names

__all__ = ["Finding", "Skill", "lint", "workflow_names"]
