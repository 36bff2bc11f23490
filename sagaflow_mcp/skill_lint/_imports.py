"""Modules that a skill imports by a text: the loader can only give import statements their meaning."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from sagaflow_mcp.skill_lint import _source
from sagaflow_mcp.skill_lint._findings import Finding
from sagaflow_mcp.skill_lint._scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagaflow_mcp.skill_lint._source import Skill

IMPORTERS = re.compile(
    rf"(importlib\.(import_module|util\.find_spec|resources\.\w+)|pkgutil\.\w+|runpy\.run_module"
    rf"|{_source.BUILTINS}\.__import__)$"
)

REWRITTEN = re.compile(r"(skills|sagaflow)(\.|$)")
"""What import statements in a skill may say, although there is no such module."""


def check(skill: Skill) -> Iterator[Finding]:
    """A finding for each name of a module in a text that only an import statement can name."""
    for module in skill.modules.values():
        scope = Scope(skill, module)
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and node.args and IMPORTERS.match(scope.full_name(node.func) or ""):
                name = _beginning(node.args[0])
                if REWRITTEN.match(name):
                    yield Finding(str(module.path), node.lineno, "error", _sentence(ast.unparse(node.func), name))


def _sentence(function: str, name: str) -> str:
    own = name.startswith("skills")
    instead = "an import statement, or __package__ and a relative name" if own else "an import statement"
    return (
        f"{function}({name!r}) finds no such module, since only import statements are given that meaning: use {instead}"
    )


def _beginning(node: ast.expr) -> str:
    """The text that `node` begins with, as far as that is written there."""
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0]
    elif isinstance(node, ast.BinOp):
        return _beginning(node.left)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
