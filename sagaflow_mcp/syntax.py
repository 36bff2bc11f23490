"""Whether a skill's files are Python, told without running them."""

from __future__ import annotations

import ast
import importlib.util
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import authorship, digest
from sagaflow_mcp.errors import BrokenSkill, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator


FUNCTION = "@skill"
"""Stands among the names for a function that is the skill."""


def check(name: str, folder: Path) -> set[str]:
    """The names that the skill's `__init__.py` binds, as far as that shows without running it, and perhaps `FUNCTION`.

    Raises:
        BrokenSkill: one of the skill's modules is not Python. It names the file, the author's own where this is a
            pinned copy, and the line.
    """
    found = trees(name, folder)
    top = found.get(Path("__init__.py"))
    names = _names(top) if top else set()
    places = [tree for path, tree in found.items() if path.name in {"__init__.py", "workflow.py"}]
    return names | {FUNCTION for tree in places if _imports_skill(tree)}


def trees(name: str, folder: Path) -> dict[Path, ast.Module]:
    """The syntax trees of the skill's modules by their paths in `folder`. BrokenSkill as `check` says."""
    return {path.relative_to(folder): _parsed(name, path) for path in _modules(folder)}


def summary(name: str, folder: Path) -> str:
    """The first paragraph of the docstring of the function with `@skill`, as one line; empty where there is none."""
    try:
        found = trees(name, folder)
    except Refusal:
        return ""
    for file in ("workflow.py", "__init__.py"):
        tree = found.get(Path(file))
        for node in tree.body if tree else ():
            if isinstance(node, ast.AsyncFunctionDef) and any(map(_is_skill, node.decorator_list)):
                return " ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split())
    return ""


def _is_skill(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return getattr(called, "id", getattr(called, "attr", "")) == "skill"


def _modules(folder: Path) -> Iterator[Path]:
    """The skill's own Python files, in its directory and in packages below it."""
    listed = [Path(file.path) for file in digest.files(str(folder))]
    packages = {path.parent for path in listed if path.name == "__init__.py"}
    for path in listed:
        # Other folders may hold templates and broken examples that nobody imports.
        # The skill's own directory is a package also without an `__init__.py`.
        if path.suffix == ".py" and all(parent in packages or parent == Path() for parent in path.parents):
            yield folder / path


def _parsed(name: str, path: Path) -> ast.Module:
    where = authorship.author_path(str(path))
    try:
        with warnings.catch_warnings():
            # A doubtful escape sequence is the author's business, not that of whoever launches the skill.
            warnings.simplefilter("ignore")
            content = path.read_bytes()
            _check_encoding(content)
            tree = ast.parse(content, str(path))
            compile(tree, str(path), "exec", dont_inherit=True)
            return tree
    except SyntaxError as error:
        line = error.lineno or 1  # None of a file with a null byte, 0 of one in an unknown encoding.
        sentence = f"skill {name!r} has a syntax error in {where}, line {line}: {error.msg}"
        raise BrokenSkill(sentence, where, line) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        sentence = (
            f"skill {name!r} has a file that is not {error.encoding} text, {where}, line {line}; save it as UTF-8"
        )
        raise BrokenSkill(sentence, where, line) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise BrokenSkill(f"skill {name!r} has a file that is not Python, {where}: {error}", where) from None
    except OSError as error:
        raise BrokenSkill(f"skill {name!r} has a file that cannot be read, {path}: {error.strerror}", where) from None


def _check_encoding(content: bytes) -> None:
    """Return when `content` can be imported as text, which asks for more than parsing does."""
    try:
        importlib.util.decode_source(content)
    except SyntaxError:
        content.decode("utf-8")  # Its error tells the place.
        raise


def _imports_skill(tree: ast.Module) -> bool:
    """Whether a module imports Sagaflow's decorator, or Sagaflow itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in {"sagaflow", "sagaflow_mcp"}:
            if any(alias.name == "skill" for alias in node.names):
                return True
        elif isinstance(node, ast.Import) and any(alias.name in {"sagaflow", "sagaflow_mcp"} for alias in node.names):
            return True
    return False


def _names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.update({"register"} if node.name == "*" else {node.asname or node.name})
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names
