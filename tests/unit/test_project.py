"""What `pyproject.toml` and the plugin's manifest say is true of the code."""

from __future__ import annotations

import ast
import json
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import sagaflow_mcp

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def imported(folder: str) -> set[str]:
    """The foreign modules imported in `folder`. Skills are left out: they have import names of their own."""
    found: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        if "skills" in path.relative_to(ROOT).parts[:-1]:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"sagaflow_mcp", "tests"}


def names(requirements: list[str]) -> set[str]:
    """The distributions that `requirements` ask for."""
    return {canonicalize_name(Requirement(each).name) for each in requirements}


# pytest itself loads the plugin for it, in whichever environment that is.
@pytest.mark.parametrize(("folder", "beside"), [("sagaflow_mcp", ["pytest"]), ("hooks", []), ("tests", None)])
def test_every_import_is_a_declared_dependency(folder: str, beside: list[str] | None) -> None:
    """Not one that another dependency happens to bring."""
    extra = PROJECT["optional-dependencies"]["dev"] if beside is None else beside
    declared = names([*PROJECT["dependencies"], *extra])
    brought_by = packages_distributions()
    undeclared = {
        module
        for module in imported(folder)
        if not declared & {canonicalize_name(each) for each in brought_by.get(module, [module])}
    }
    assert undeclared == set()


def test_the_plugin_has_the_package_s_version() -> None:
    """Claude Code takes a plugin for updated when its version changes."""
    manifest = json.loads((ROOT / ".claude-plugin" / "plugin.json").read_text(encoding="utf-8"))
    assert manifest["version"] == sagaflow_mcp.__version__
    assert "version" not in PROJECT
