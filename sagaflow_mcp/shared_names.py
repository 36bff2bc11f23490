"""What all skills of a process share, kept from one that would put itself there: module names, and where to look."""

from __future__ import annotations

import ast
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import authorship, syntax
from sagaflow_mcp.authorship import Place
from sagaflow_mcp.errors import BrokenSkill
from sagaflow_mcp.skill_imports import TOP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

    from sagaflow_mcp.pinning import Pinned


@contextlib.contextmanager
def kept(pinned: Pinned) -> Iterator[None]:
    """Load `pinned` inside; afterwards the modules that were there still are, and none of its own goes by a bare name.

    Raises:
        BrokenSkill: it has replaced a module, imported one of its own past its package, or put its folder on
            `sys.path`.
    """
    before = dict(sys.modules)
    try:
        yield
        _check(pinned, before)
    finally:
        sys.modules.update({name: before[name] for name in _replaced(before)})
        for name in _strays(pinned):
            del sys.modules[name]
        sys.path[:] = [each for each in sys.path if not _is_inside(each, pinned)]


def _check(pinned: Pinned, before: Mapping[str, ModuleType]) -> None:
    for name in _replaced(before):
        sentence = f"it replaces the module {name!r} in sys.modules, which all skills share; use a name of its own"
        raise BrokenSkill(sentence, *_mention(pinned, name))
    for name in _strays(pinned):
        top = name.partition(".")[0]
        raise BrokenSkill(
            f"it imports its own module {name!r} by way of sys.path, where all skills share the names; "
            f"write `from . import {top}`",
            *_import(pinned, top),
        )
    if any(_is_inside(each, pinned) for each in sys.path):
        raise BrokenSkill(
            "it puts its own folder on sys.path, where its modules would go before those of others; leave that out, "
            "and import them as `from . import …`",
            *_mention(pinned, "path"),
        )


def _replaced(before: Mapping[str, ModuleType]) -> list[str]:
    """The names of modules that were there and are others now, but for skills', which come and go meanwhile."""
    return [
        name
        for name, module in before.items()
        if sys.modules.get(name, module) is not module and not name.startswith(f"{TOP}.")
    ]


def _strays(pinned: Pinned) -> list[str]:
    """The skill's modules that go by other names than its package gives them."""
    return [
        name
        for name, module in list(sys.modules.items())
        if not f"{name}.".startswith(f"{pinned.package}.") and _is_inside(getattr(module, "__file__", None), pinned)
    ]


def _is_inside(path: object, pinned: Pinned) -> bool:
    # Compared as texts first: this is asked of every module of the process.
    if not isinstance(path, str) or pinned.digest not in path:
        return False
    return pinned.code in (Path(path), *Path(path).parents)


def _import(pinned: Pinned, module: str) -> Place:
    """Where the skill imports `module` by that name."""
    for path, tree in syntax.trees(pinned.name, pinned.code).items():
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            if any(name.partition(".")[0] == module for name in names):
                return _place(pinned, path, node)
    return Place()


def _mention(pinned: Pinned, what: str) -> Place:
    """Where the skill's code has `sys.modules` with the text `what`, or `sys.path`."""
    for path, tree in syntax.trees(pinned.name, pinned.code).items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == what:
                return _place(pinned, path, node)
            if isinstance(node, ast.Constant) and node.value == what:
                return _place(pinned, path, node)
    return Place()


def _place(pinned: Pinned, path: Path, node: ast.AST) -> Place:
    return Place(authorship.author_path(str(pinned.code / path)), getattr(node, "lineno", None))
