"""Which code of a skill is workflow code: what its workflow does itself, and not in a step."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sagaflow_mcp.skill_lint import _source
from sagaflow_mcp.skill_lint._scope import Scope
from sagaflow_mcp.skill_lint._source import Function

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagaflow_mcp.skill_lint._source import Definition, Module, Skill

LIFTED = "temporalio.workflow.unsafe.sandbox_unrestricted"


class Spot(NamedTuple):
    """One piece of syntax in workflow code."""

    node: ast.AST
    scope: Scope
    runs: bool
    """Whether it runs with the workflow; otherwise when its module is imported."""
    lifted: bool
    """Whether the author has lifted the sandbox there."""


@dataclass(frozen=True)
class _Place:
    scope: Scope
    runs: bool
    lifted: bool = False
    steps: frozenset[str] = frozenset()
    """Functions inside of the enclosing one that are given to `ctx.step`."""


def workflow_code(skill: Skill) -> list[Spot]:
    """Every piece of syntax that runs in a workflow of `skill`, or whose value a workflow uses."""
    todo = [*skill.decorated(_source.WORKFLOW_DECORATOR), *skill.decorated(_source.SKILL_DECORATOR)]
    seen: set[int] = set()
    found: list[Spot] = []
    while todo:
        module, node = todo.pop()
        if id(node) in seen or _source.is_decorated(module, node, _source.ACTIVITY_DECORATOR):
            continue
        seen.add(id(node))
        spots = list(_definition(skill, module, node))
        found += spots
        todo += [target for spot in spots if (target := _target(skill, spot)) is not None]
    return found


def _target(skill: Skill, spot: Spot) -> tuple[Module, Definition] | None:
    """The skill's own definition that the spot refers to."""
    if isinstance(spot.node, ast.Name | ast.Attribute) and isinstance(spot.node.ctx, ast.Load):
        name = spot.scope.full_name(spot.node)
        return skill.definition(name) if name is not None else None
    return None


def _definition(skill: Skill, module: Module, node: Definition) -> Iterator[Spot]:
    scope = Scope(skill, module)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return _function(node, _Place(scope, runs=True))
    return _walk(node, _Place(scope, runs=False))


def _function(node: Function, place: _Place) -> Iterator[Spot]:
    """The body of a function; its decorators, defaults and annotations are no business of the workflow."""
    body: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else list(node.body)
    scope = place.scope.inside(node)
    inner = _Place(scope, runs=True, lifted=place.lifted, steps=place.steps | frozenset(_given_to_steps(body, scope)))
    for each in body:
        yield from _walk(each, inner)


def _walk(node: ast.AST, place: _Place) -> Iterator[Spot]:
    if isinstance(node, Function):
        if not _is_step(node, place):
            yield from _function(node, place)
        return
    yield Spot(node, place.scope, place.runs, place.lifted)
    left_out = {id(each) for each in _left_out(node, place.scope)}
    for each in ast.iter_child_nodes(node):
        if id(each) not in left_out:
            yield from _walk(each, _within(node, each, place))


def _is_step(node: Function, place: _Place) -> bool:
    if isinstance(node, ast.Lambda):
        return False
    decorated = _source.is_decorated(place.scope.module, node, _source.ACTIVITY_DECORATOR)
    return decorated or node.name in place.steps


def _within(node: ast.AST, child: ast.AST, place: _Place) -> _Place:
    """The place of `child` in `node`: the sandbox may be lifted there."""
    if isinstance(node, ast.With) and isinstance(child, ast.stmt) and any(_lifts(each, place) for each in node.items):
        return _Place(place.scope, place.runs, lifted=True, steps=place.steps)
    return place


def _lifts(item: ast.withitem, place: _Place) -> bool:
    call = item.context_expr
    return isinstance(call, ast.Call) and place.scope.full_name(call.func) == LIFTED


def _left_out(node: ast.AST, scope: Scope) -> Iterator[ast.AST]:
    """What in `node` does not run there: annotations, and what is handed to a step."""
    if isinstance(node, ast.AnnAssign):
        yield node.annotation
    elif isinstance(node, ast.If) and scope.full_name(node.test) == "typing.TYPE_CHECKING":
        yield from node.body
    elif isinstance(node, ast.Call):
        yield from _step_functions(node, scope)


def _step_functions(call: ast.Call, scope: Scope) -> Iterator[ast.expr]:
    """What `call` has run in a step."""
    if isinstance(call.func, ast.Attribute) and call.func.attr == "step":
        yield from call.args[:1]
        return
    name = scope.full_name(call.func) or ""
    if name.startswith("temporalio.workflow.") and "activity" in name:
        yield from call.args[:1]
        yield from (each.value for each in call.keywords if each.arg == "activity")
    elif name == "functools.partial" and isinstance(call.args[0], ast.Attribute) and call.args[0].attr == "step":
        yield from call.args[1:2]


def _given_to_steps(body: list[ast.AST], scope: Scope) -> Iterator[str]:
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Call):
                yield from (each.id for each in _step_functions(node, scope) if isinstance(each, ast.Name))
