"""The names that Temporal knows a skill's workflow classes by."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, NamedTuple

from sagaflow_mcp.skill_lint import _source

if TYPE_CHECKING:
    from sagaflow_mcp.skill_lint._source import Skill


class Named(NamedTuple):
    """A workflow class."""

    name: str
    """What Temporal knows it by."""
    file: str
    line: int


def workflow_names(skill: Skill) -> list[Named]:
    """Those of its workflow classes whose names show."""
    found = []
    for module, node in skill.decorated(_source.WORKFLOW_DECORATOR):
        name = _name(node) if isinstance(node, ast.ClassDef) else None
        if name is not None:
            found.append(Named(name, str(module.path), node.lineno))
    return found


def _name(node: ast.ClassDef) -> str | None:
    """The name of a workflow class; None where it has none, or it is not written there."""
    calls = [each for each in node.decorator_list if isinstance(each, ast.Call)]
    given = [each.value for call in calls for each in call.keywords if each.arg in {"name", "dynamic"}]
    if not given:
        return node.name
    return given[0].value if isinstance(given[0], ast.Constant) and isinstance(given[0].value, str) else None
