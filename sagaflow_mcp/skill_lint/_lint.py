"""All that is looked for in a skill's source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagaflow_mcp.skill_lint import _calls, _imports, _prompts, _reach, _state

if TYPE_CHECKING:
    from sagaflow_mcp.skill_lint._findings import Finding
    from sagaflow_mcp.skill_lint._source import Skill


def lint(skill: Skill) -> list[Finding]:
    """What the author of `skill` should change, by file and line; none of its code is run."""
    spots = _reach.workflow_code(skill)
    found = [*_calls.check(skill, spots), *_state.check(skill, spots), *_imports.check(skill), *_prompts.check(skill)]
    return sorted(set(found), key=lambda each: (each.file, each.line or 0, each.level, each.sentence))
