"""What the names in one function mean."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from sagaflow_mcp.skill_lint._source import Function, canonical

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sagaflow_mcp.skill_lint._source import Module, Skill

PATH = "pathlib.Path"
"""Stands for the class and for its instances."""

TOUCH_FILES = frozenset({"absolute", "cwd", "expanduser", "home", "resolve"})

GIVE_PATHS = TOUCH_FILES | {"joinpath", "parent", "with_name", "with_stem", "with_suffix"}
"""What of a path is a path again."""


class Scope:
    """Tells full names at one place: in a function, or at the top of a module."""

    def __init__(self, skill: Skill, module: Module, local: Mapping[str, str | None] | None = None) -> None:
        self.skill = skill
        self.module = module
        self._local = {} if local is None else local

    def inside(self, function: Function) -> Scope:
        """The scope of `function`, which lies in this one."""
        local: dict[str, str | None] = {**self._local, **dict.fromkeys(_names(function))}
        inner = Scope(self.skill, self.module, local)
        for name, annotation in _annotated(function):
            local[name] = _path_only(self.full_name(annotation))
        for node in _own(function):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in local:
                local[node.targets[0].id] = _path_only(inner.full_name(node.value))
        return inner

    def full_name(self, node: ast.expr) -> str | None:
        """What `node` refers to, or is an instance of; None when that does not show."""
        if isinstance(node, ast.Name):
            return self._local[node.id] if node.id in self._local else self.module.meaning(node.id)
        if isinstance(node, ast.Attribute):
            return self._attribute(node)
        if isinstance(node, ast.Call):
            return _path_only(self.full_name(node.func))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            return _path_only(self.full_name(node.left))
        return None

    def is_local(self, name: str) -> bool:
        """Whether `name` is a variable of the function."""
        return name in self._local

    def _attribute(self, node: ast.Attribute) -> str | None:
        base = self.full_name(node.value)
        if base is None:
            return None
        if base == PATH and node.attr in GIVE_PATHS - TOUCH_FILES:
            return PATH
        name = f"{base}{node.attr}" if base == "." else f"{base}.{node.attr}"
        return canonical(name, self.skill.name.replace("-", "_"))


def _path_only(name: str | None) -> str | None:
    """The type of what `name`, a full name, gives when it is called; None for all but paths."""
    if name is None or not name.startswith(PATH):
        return None
    return PATH if name == PATH or name.rpartition(".")[2] in GIVE_PATHS else None


def _annotated(function: Function) -> Iterator[tuple[str, ast.expr]]:
    for each in _parameters(function):
        if each.annotation is not None:
            yield each.arg, each.annotation


def _parameters(function: Function) -> list[ast.arg]:
    given = function.args
    extra = [each for each in (given.vararg, given.kwarg) if each is not None]
    return [*given.posonlyargs, *given.args, *given.kwonlyargs, *extra]


def _names(function: Function) -> set[str]:
    """What is a variable of `function`."""
    found = {each.arg for each in _parameters(function)}
    elsewhere: set[str] = set()
    for node in _own(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.ExceptHandler | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name:
            found.add(node.name)
        elif isinstance(node, ast.Global):
            elsewhere.update(node.names)
    return found - elsewhere


def _own(function: Function) -> Iterator[ast.AST]:
    """What is in `function`, without what is in functions inside it."""
    todo: list[ast.AST] = [function.body] if isinstance(function, ast.Lambda) else list(function.body)
    while todo:
        node = todo.pop(0)
        yield node
        if not isinstance(node, Function | ast.ClassDef):
            todo += ast.iter_child_nodes(node)
