"""A skill's prompts, held against the calls that name them."""

from __future__ import annotations

import ast
from string import Template
from typing import TYPE_CHECKING, NamedTuple

from sagaflow_mcp.skill_lint import _source
from sagaflow_mcp.skill_lint._findings import Finding
from sagaflow_mcp.skill_lint._scope import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagaflow_mcp.skill_lint._findings import Level
    from sagaflow_mcp.skill_lint._source import Module, Skill

LOAD_PROMPT = "sagaflow_mcp.prompts.load_prompt"

OPTIONS = frozenset({"tier", "output", "max_tokens"})
"""What `ctx.prompt` takes beside the prompts' variables."""


class Use(NamedTuple):
    """A call that fills in prompts."""

    module: Module
    line: int
    written: str
    """The call, as a message names it."""
    names: tuple[str, ...]
    """The prompts, the needed one first."""
    values: frozenset[str] | None
    """The variables that it gives a value; None where it leaves the text as it is."""
    is_open: bool
    """Whether it may give more than shows."""

    def path(self, name: str) -> Path:
        """Where the prompt `name` is."""
        return self.module.path.parent / "prompts" / f"{name}.md"


def check(skill: Skill) -> Iterator[Finding]:
    """A finding for each prompt that cannot be read or is not there, and for each variable that does not fit."""
    for path in sorted({each for module in skill.modules.values() for each in module.path.parent.glob("prompts/*.md")}):
        if _text(path) is None:
            yield _unreadable(path)
    uses = [*_loads(skill), *_prompted(skill)]
    filled = {use.path(name) for use in uses if use.values is not None for name in use.names}
    for use in uses:
        yield from _missing(use)
        for name in use.names:
            if use.values is not None or use.path(name) not in filled:
                yield from _without_value(use, name)
        yield from _without_place(use)


def _missing(use: Use) -> Iterator[Finding]:
    needed = use.path(use.names[0])
    if not needed.exists():
        there = ", ".join(sorted(repr(each.stem) for each in needed.parent.glob("*.md"))) or "none"
        sentence = f"{use.written} has no file {str(needed)!r}: write it, or name one that there is: {there}"
        yield Finding(str(use.module.path), use.line, "error", sentence)


def _without_value(use: Use, name: str) -> Iterator[Finding]:
    text = _text(use.path(name)) or ""
    for variable in Template(text).get_identifiers():
        if variable in (use.values or ()) or use.is_open:
            continue
        where = f"{use.written} in {use.module.path.name}, line {use.line},"
        what = "leaves" if use.values is None else "gives no value to"
        sentence = f"{where} {what} ${variable}: give it one, or write $$ for a plain dollar sign"
        level: Level = "warning" if use.values is None else "error"
        yield Finding(str(use.path(name)), _line_of(text, variable), level, sentence)


def _without_place(use: Use) -> Iterator[Finding]:
    texts = [text for name in use.names if (text := _text(use.path(name))) is not None]
    there = {variable for text in texts for variable in Template(text).get_identifiers()}
    for variable in sorted((use.values or frozenset()) - there) if texts else ():
        sentence = f"{use.written} gives {variable!r} a value, but no ${variable} is in the prompt: write it there"
        yield Finding(str(use.module.path), use.line, "warning", f"{sentence}, or leave the value out")


def _loads(skill: Skill) -> Iterator[Use]:
    """The calls of `load_prompt` whose prompt shows."""
    for module in skill.modules.values():
        scope = Scope(skill, module)
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and scope.full_name(node.func) == LOAD_PROMPT:
                given = dict(zip(("file", "name", "substitutions"), node.args, strict=False))
                given |= {each.arg: each.value for each in node.keywords if each.arg is not None}
                name = _constant(given.get("name"))
                file = given.get("file")
                if name is not None and isinstance(file, ast.Name) and file.id == "__file__":
                    values, is_open = _substitutions(given.get("substitutions"))
                    yield Use(module, node.lineno, f"load_prompt(…, {name!r})", (name,), values, is_open)


def _prompted(skill: Skill) -> Iterator[Use]:
    """The calls of `ctx.prompt` whose role shows."""
    for module in _with_functions(skill):
        for node in ast.walk(module.tree):
            if _is_prompt(node):
                assert isinstance(node, ast.Call)
                role = _constant(node.args[0] if node.args else None)
                if role is not None:
                    named = [each.arg for each in node.keywords]
                    values = frozenset(name for name in named if name is not None) - OPTIONS
                    names = (f"{role}.user", f"{role}.system")
                    yield Use(module, node.lineno, f"ctx.prompt({role!r})", names, values, None in named)


def _with_functions(skill: Skill) -> list[Module]:
    """The modules in which there may be a `ctx`."""
    return list(skill.modules.values()) if any(skill.decorated(_source.SKILL_DECORATOR)) else []


def _is_prompt(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "prompt"


def _substitutions(node: ast.expr | None) -> tuple[frozenset[str] | None, bool]:
    """The names that the dictionary `node` gives values, and whether it may have more."""
    if node is None or (isinstance(node, ast.Constant) and node.value is None):
        return None, False
    if isinstance(node, ast.Dict):
        names = [_constant(each) for each in node.keys]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
        names = [each.arg for each in node.keywords]
    else:
        return frozenset(), True
    return frozenset(each for each in names if each is not None), None in names


def _constant(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _text(path: Path) -> str | None:
    """What is in `path`; None when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _unreadable(path: Path) -> Finding:
    try:
        content = path.read_bytes()
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return Finding(str(path), line, "error", "the prompt is not UTF-8 text here: save it as UTF-8")
    except OSError as error:
        return Finding(str(path), None, "error", f"the prompt cannot be read: {error.strerror}")
    return Finding(str(path), None, "error", "the prompt could not be read a moment ago: check again")


def _line_of(text: str, variable: str) -> int:
    for found in Template.pattern.finditer(text):
        if variable in {found.group("named"), found.group("braced")}:
            return text.count("\n", 0, found.start()) + 1
    return 1
