"""The source of a skill: its modules, and what the names in them mean."""

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagaflow_mcp import syntax

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ITSELF = "."
"""Begins the full name of what is the skill's own: `.workflow.Greet` is `Greet` in its `workflow.py`."""

BUILTINS = "__builtins__"
"""The module of built-in functions, as Temporal's sandbox names it."""

WORKFLOW_DECORATOR = "temporalio.workflow.defn"
SKILL_DECORATOR = "sagaflow_mcp.skill"
ACTIVITY_DECORATOR = "temporalio.activity.defn"
PASSED_THROUGH = "temporalio.workflow.unsafe.imports_passed_through"

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign
"""A statement at the top of a module that gives a name to something."""

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True)
class Module:
    """One Python file of the skill."""

    name: str
    """Its full name, such as `.workflow`; `.` for the `__init__.py`."""
    path: Path
    tree: ast.Module
    imported: Mapping[str, str]
    """What each imported name means, as a full name."""
    definitions: Mapping[str, Definition]
    """What is defined at its top, by name."""
    own_imports: frozenset[str]
    """The full names that it imports from the skill itself."""
    passed_through: frozenset[str]
    """Those of them which it imports past the sandbox."""

    def meaning(self, name: str) -> str | None:
        """The full name of what `name` means at the top of this module; None when that does not show."""
        if name in self.definitions:
            return joined(self.name, name)
        return self.imported.get(name) or (f"{BUILTINS}.{name}" if hasattr(builtins, name) else None)


@dataclass(frozen=True)
class Skill:
    """All of them."""

    name: str
    folder: Path
    modules: Mapping[str, Module]
    """By full name."""

    @classmethod
    def read(cls, name: str, folder: Path) -> Skill:
        """The skill in `folder`. Refusal when one of its modules is not Python."""
        found = (_module(name, folder, path, tree) for path, tree in syntax.trees(name, folder).items())
        return cls(name, folder, {module.name: module for module in found})

    def definition(self, full_name: str) -> tuple[Module, Definition] | None:
        """Where `full_name`, or what it is an attribute of, is defined; None when that is not in this skill."""
        seen: set[str] = set()
        while full_name.startswith(ITSELF) and full_name != ITSELF and full_name not in seen:
            seen.add(full_name)
            parent, _, last = full_name.rpartition(".")
            module = self.modules.get(parent or ITSELF)
            if module is not None and last in module.definitions:
                return module, module.definitions[last]
            # A module may pass on what it has imported.
            full_name = (module.imported.get(last) if module is not None else None) or parent
        return None

    def decorated(self, decorator: str) -> Iterator[tuple[Module, Definition]]:
        """What is defined at the top of a module with `decorator`, a full name."""
        for module in self.modules.values():
            for node in module.definitions.values():
                if is_decorated(module, node, decorator):
                    yield module, node

    @property
    def passed_through(self) -> set[str]:
        """The modules that all runs in a worker share, since they are imported past the sandbox."""
        found: set[str] = set()
        todo = [name for module in self.modules.values() for name in module.passed_through]
        while todo:
            module = self._module_of(todo.pop())
            if module is not None and module.name not in found:
                found.add(module.name)
                todo += module.own_imports
        return found

    def _module_of(self, full_name: str) -> Module | None:
        """The module `full_name`, or else the one that `full_name` is in."""
        return self.modules.get(full_name) or self.modules.get(full_name.rpartition(".")[0] or ITSELF)


def joined(parent: str, name: str) -> str:
    """The full name of `name` in `parent`."""
    return f"{parent}{name}" if parent == ITSELF else f"{parent}.{name}"


def dotted(node: ast.expr) -> list[str]:
    """The parts of `a.b.c`; empty for any other expression."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    return [node.id, *parts] if isinstance(node, ast.Name) else []


def is_decorated(module: Module, node: ast.AST, decorator: str) -> bool:
    """Whether `node` is a function or class with `decorator`, a full name, called or not."""
    for each in getattr(node, "decorator_list", ()):
        first, *rest = dotted(each.func if isinstance(each, ast.Call) else each) or [""]
        meaning = module.imported.get(first)
        if meaning is not None and canonical(".".join([meaning, *rest])) == decorator:
            return True
    return False


def canonical(full_name: str, snake_name: str = "") -> str:
    """`full_name` by the one name that we know it under: Sagaflow has two, and so has a skill's own module."""
    head, _, rest = full_name.partition(".")
    if head == "sagaflow":
        return f"sagaflow_mcp.{rest}".rstrip(".")
    itself = f"skills.{snake_name}"
    if snake_name and (full_name == itself or full_name.startswith(f"{itself}.")):
        return f".{full_name[len(itself) + 1 :]}"
    return full_name


def _module(skill: str, folder: Path, path: Path, tree: ast.Module) -> Module:
    parts = [part for part in path.with_suffix("").parts if part != "__init__"]
    package = parts if path.name == "__init__.py" else parts[:-1]
    snake_name = skill.replace("-", "_")
    imported: dict[str, str] = {}
    own: set[str] = set()
    for node in ast.walk(tree):
        imported |= dict(_bound(node, package, snake_name))
        own |= {each for each in _imported(node, package, snake_name) if each.startswith(ITSELF)}
    return Module(
        name=f".{'.'.join(parts)}",
        path=folder / path,
        tree=tree,
        imported=imported,
        definitions=dict(_definitions(tree.body)),
        own_imports=frozenset(own),
        passed_through=frozenset(_passed_through(tree, imported, package, snake_name)),
    )


def _bound(node: ast.AST, package: list[str], snake_name: str) -> Iterator[tuple[str, str]]:
    """The names that an import statement binds, each with its meaning."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            top = alias.name.partition(".")[0]
            yield alias.asname or top, canonical(alias.name if alias.asname else top, snake_name)
    elif isinstance(node, ast.ImportFrom):
        base = _base(node, package, snake_name)
        for alias in node.names:
            yield alias.asname or alias.name, canonical(joined(base, alias.name), snake_name)


def _imported(node: ast.AST, package: list[str], snake_name: str) -> Iterator[str]:
    """The full names of what an import statement imports."""
    if isinstance(node, ast.Import):
        yield from (canonical(alias.name, snake_name) for alias in node.names)
    else:
        yield from (meaning for _, meaning in _bound(node, package, snake_name))


def _base(node: ast.ImportFrom, package: list[str], snake_name: str) -> str:
    """The full name of the module that `from … import` names."""
    if not node.level:
        return canonical(node.module or "", snake_name)
    above = package[: len(package) - node.level + 1]
    return "." + ".".join([*above, *([node.module] if node.module else [])])


def _definitions(body: list[ast.stmt]) -> Iterator[tuple[str, Definition]]:
    """What the statements define, also inside `if`, `try` and `with`."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = (inner for target in targets for inner in ast.walk(target) if isinstance(inner, ast.Name))
            yield from ((name.id, node) for name in names if isinstance(name.ctx, ast.Store))
        else:
            for inner in ("body", "orelse", "finalbody", "handlers"):
                yield from _definitions(getattr(node, inner, []))


def _passed_through(
    tree: ast.Module, imported: Mapping[str, str], package: list[str], snake_name: str
) -> Iterator[str]:
    for block in ast.walk(tree):
        if isinstance(block, ast.With) and any(_lifts(item.context_expr, imported) for item in block.items):
            for node in ast.walk(block):
                yield from (each for each in _imported(node, package, snake_name) if each.startswith(ITSELF))


def _lifts(node: ast.expr, imported: Mapping[str, str]) -> bool:
    """Whether `node` calls `imports_passed_through()`."""
    first, *rest = (dotted(node.func) if isinstance(node, ast.Call) else []) or [""]
    return ".".join([imported.get(first, first), *rest]) == PASSED_THROUGH
