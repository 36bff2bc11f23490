"""State at the top of modules that workflow code changes: it is neither recorded nor the run's own."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from sagaflow_mcp.skill_lint import _source
from sagaflow_mcp.skill_lint._findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagaflow_mcp.skill_lint._reach import Spot
    from sagaflow_mcp.skill_lint._scope import Scope
    from sagaflow_mcp.skill_lint._source import Skill

CHANGE = frozenset(
    {
        *("add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft"),
        *("remove", "reverse", "rotate", "setdefault", "sort", "subtract", "update"),
    }
)
"""Methods of Python's containers that change them."""


def check(skill: Skill, spots: list[Spot]) -> Iterator[Finding]:
    """A finding for each such change."""
    passed_through = skill.passed_through
    for spot in spots:
        if not spot.runs:
            continue
        for node in _changed(spot):
            name = spot.scope.full_name(node)
            found = skill.definition(name) if name is not None else None
            if found is None or isinstance(found[1], ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            module, _ = found
            yield _finding(spot, ast.unparse(node), is_shared=module.name in passed_through)


def _finding(spot: Spot, written: str, *, is_shared: bool) -> Finding:
    where, line = str(spot.scope.module.path), getattr(spot.node, "lineno", None)
    if is_shared:
        return Finding(
            where,
            line,
            "error",
            f"workflow code changes {written}, which imports_passed_through() has all runs in a worker share, and "
            "which a replay finds as another run has left it: keep it in the run, in a variable or on self",
        )
    return Finding(
        where,
        line,
        "warning",
        f"workflow code changes {written} at the top of a module, which nothing records and which steps do not see: "
        "keep it in the run, in a variable or on self",
    )


def _changed(spot: Spot) -> Iterator[ast.expr]:
    """What outlives the function and is changed at the spot."""
    node, scope = spot.node, spot.scope
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr in CHANGE:
            yield _whole(node.func.value, scope)
        elif scope.full_name(node.func) == f"{_source.BUILTINS}.next":
            yield from node.args[:1]
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
        if not scope.is_local(node.id):
            yield node
    elif isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        yield _whole(node.value, scope)


def _whole(node: ast.expr, scope: Scope) -> ast.expr:
    """The longest beginning of `node` that has a full name: `A` of `A[0].b`."""
    while scope.full_name(node) is None and isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node
