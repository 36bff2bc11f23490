"""The import statements of a skill, rewritten so that each version of it imports its own modules.

A skill names Sagaflow `sagaflow` (or `sagaflow_mcp`) and itself `skills.<name>`. Several versions live in one process,
and whoever serves a module cannot tell who imports it, so the names are changed where they stand: in the syntax tree.
"""

from __future__ import annotations

import ast

TOP = "sagaflow_skills"
"""The package that all versions of all skills are served in."""

SIBLINGS = "__skills__"
"""The module of each version that stands in for `skills`: it has one attribute, the skill itself."""


class Rewriter(ast.NodeTransformer):
    """Rewrites the imports of the version of skill `snake_name` that is served as `package`; lines stay in place."""

    def __init__(self, package: str, snake_name: str) -> None:
        self._package = package
        self._itself = f"skills.{snake_name}"

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        """`from skills.x.y import z` from the version's own package."""
        if node.level == 0 and node.module:
            node.module = self._renamed(node.module)
        return node

    def visit_Import(self, node: ast.Import) -> ast.Import:
        """`import skills.x.y`, binding the same names as the author's statement."""
        node.names = [new for alias in node.names for new in self._aliases(alias)]
        return node

    def _aliases(self, alias: ast.alias) -> list[ast.alias]:
        target = self._renamed(alias.name)
        if target == alias.name:
            return [alias]
        if alias.asname:
            return [_located(alias, target, alias.asname)]
        # `import a.b.c` loads c but binds a.
        top = alias.name.partition(".")[0]
        return [_located(alias, target, None), _located(alias, self._renamed(top), top)]

    def _renamed(self, name: str) -> str:
        """The module that `name` means inside this skill."""
        for old, new in (
            ("sagaflow", "sagaflow_mcp"),
            (self._itself, self._package),
        ):
            if name == old or name.startswith(f"{old}."):
                return new + name[len(old) :]
        return f"{self._package}.{SIBLINGS}" if name == "skills" else name


def _located(origin: ast.alias, name: str, asname: str | None) -> ast.alias:
    return ast.copy_location(ast.alias(name, asname), origin)
