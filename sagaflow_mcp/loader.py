"""The import system for pinned skills: any number of versions of any number of skills side by side in one process."""

from __future__ import annotations

import ast
import asyncio
import importlib
import importlib.machinery
import importlib.util
import sys
import threading
from collections import defaultdict
from importlib.abc import InspectLoader, MetaPathFinder
from typing import TYPE_CHECKING, Any, NamedTuple

from temporalio import workflow

from sagaflow_mcp import (
    authorship,
    contract,
    digest,
    load_errors,
    pinning,
    shared_names,
    skill_check,
    skill_file,
    skill_imports,
)
from sagaflow_mcp.errors import BrokenSkill, Refusal
from sagaflow_mcp.registry import SkillRegistry, SkillSpec
from sagaflow_mcp.sandbox import SagaflowRunner
from sagaflow_mcp.shown_sources import ShownSources
from sagaflow_mcp.skill_imports import TOP

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

    from sagaflow_mcp.pinning import Pinned


class Module(NamedTuple):
    """A module of a pinned skill."""

    pinned: Pinned | None
    """None for the package that all skills lie in."""
    path: str | None
    """The file; None for a folder without an `__init__.py`, and for what stands in for `skills`."""
    shown: str | None
    """The author's file, by which tracebacks name it."""
    is_package: bool
    source: str = ""
    """Its text where there is no file."""


class SkillFinder(MetaPathFinder):
    """Serves the modules of every version that was added; others are none of its business."""

    def __init__(self) -> None:
        self._modules: dict[str, Module] = {TOP: Module(None, None, None, is_package=True)}
        self._code: dict[str, CodeType] = {}
        self._shown = ShownSources()

    def add(self, pinned: Pinned) -> None:
        """Serve `pinned` from now on."""
        for path in digest.snapshot(str(pinned.code)).files:
            if path.endswith(".py"):
                self._modules.update(_modules(pinned, path))
        if skill_file.is_alone(pinned.code):
            self._modules |= _workflow_of_skill_file(pinned)
        self._modules[f"{pinned.package}.{skill_imports.SIBLINGS}"] = Module(pinned, None, None, is_package=False)

    def remove(self, pinned: Pinned) -> None:
        """Forget `pinned`."""
        self._shown.hide([name for name in self._modules if _belongs(name, pinned)])
        for names in (self._modules, self._code):
            for name in [name for name in list(names) if _belongs(name, pinned)]:
                del names[name]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None, /
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a skill's module; None for any other."""
        del path, target
        module = self._modules.get(fullname) if fullname.startswith(TOP) else None
        if module is None:
            return None
        loader = SkillLoader(module, self._code, self._shown)
        return importlib.util.spec_from_loader(fullname, loader, origin=module.path, is_package=module.is_package)


class SkillLoader(InspectLoader):
    """Loads one module of a skill; compiled code is kept in memory only, as a stale file could win over the source."""

    def __init__(self, module: Module, code: dict[str, CodeType], shown: ShownSources) -> None:
        self._module = module
        self._code = code
        self._shown = shown

    def is_package(self, fullname: str) -> bool:
        """Whether the module may have others inside."""
        del fullname
        return self._module.is_package

    def get_source(self, fullname: str) -> str:
        """The author's text, or what makes the module that stands in for `skills`."""
        pinned, path = self._module.pinned, self._module.path
        if self._module.source:
            return self._module.source
        if path is not None:
            # A workflow may import a module in the middle of its run. The copy never changes, so that is deterministic.
            with workflow.unsafe.sandbox_unrestricted(), open(path, "rb") as file:  # noqa: PTH123 - the sandbox watches pathlib
                return importlib.util.decode_source(file.read())
        if pinned is not None and fullname.endswith(f".{skill_imports.SIBLINGS}"):
            return f"from {TOP} import {pinned.package.rpartition('.')[2]} as {pinned.snake_name}\n"
        return ""

    def get_code(self, fullname: str) -> CodeType:
        """The module's code; every run of a workflow executes it anew, so it is compiled once."""
        found = self._code.get(fullname)
        if found is None:
            found = self._code[fullname] = self._compiled(fullname)
        return found

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code in `module`."""
        parent, _, child = module.__name__.rpartition(".")
        if parent:
            # Bound before it has run, so that modules importing each other do not look for it in `sys.modules`,
            # which in a workflow is not the one that the interpreter itself looks into.
            setattr(sys.modules[parent], child, module)
        if self._module.path is not None:
            module.__file__ = self._module.path
        exec(self.get_code(module.__name__), module.__dict__)  # noqa: S102 - running a skill's code is what it is for

    def _compiled(self, fullname: str) -> CodeType:
        pinned, filename = self._module.pinned, self._module.shown or f"<{fullname}>"
        source = self.get_source(fullname)
        if self._module.shown is not None:
            self._shown.show(filename, fullname, source)
        tree = ast.parse(source, filename)
        if pinned is not None:
            tree = ast.fix_missing_locations(skill_imports.Rewriter(pinned.package, pinned.snake_name).visit(tree))
        return compile(tree, filename, "exec", dont_inherit=True)


_FINDER = SkillFinder()
_LOADED: dict[Pinned, SkillSpec] = {}
_LOCKS: defaultdict[Pinned, threading.RLock] = defaultdict(threading.RLock)
"""Each is held while its version is loaded or dropped: one that never finishes must not hold up another."""


def workflow_runner() -> SagaflowRunner:
    """The sandbox that workflows run in."""
    return SagaflowRunner()


def load(pinned: Pinned) -> SkillSpec:
    """What the skill version registers. A second call gives the same answer without running its code again.

    Raises:
        BrokenSkill: it cannot be loaded; the sentence names the author's file and line.
        Refusal: its copy is gone or was changed.
    """
    with _LOCKS[pinned]:
        if pinned in _LOADED:
            return _LOADED[pinned]
        pinning.verify(pinned)
        if _FINDER not in sys.meta_path:
            sys.meta_path.insert(0, _FINDER)
        _FINDER.add(pinned)
        try:
            with shared_names.kept(pinned):
                spec = _registered(pinned)
        except BaseException as error:
            # Also what ends a program, such as sys.exit(): here it is only the end of this skill.
            drop(pinned)
            raise load_errors.refusal(pinned.name, error) from error
        return _LOADED.setdefault(pinned, spec)


def drop(pinned: Pinned) -> None:
    """Forget the version: its modules can be freed once no run uses them."""
    with _LOCKS[pinned]:
        _LOADED.pop(pinned, None)
        _FINDER.remove(pinned)
        for name in [name for name in list(sys.modules) if _belongs(name, pinned)]:
            del sys.modules[name]
        if TOP in sys.modules:
            sys.modules[TOP].__dict__.pop(pinned.package.rpartition(".")[2], None)


def workflows(spec: SkillSpec) -> list[type]:
    """The workflow classes of the skill: its own first, then those that it may start as children."""
    package = ".".join(spec.workflow_cls.__module__.split(".")[:2])
    modules = [module for name, module in sorted(sys.modules.items()) if f"{name}.".startswith(f"{package}.")]
    found = [each for module in modules for each in vars(module).values() if skill_check.is_workflow(each)]
    return list(dict.fromkeys([spec.workflow_cls, *found]))


def rehearse(spec: SkillSpec) -> None:
    """Load the workflow as a worker does, inside the sandbox. Not to be called from a running event loop.

    Raises:
        BrokenSkill: it does something at import time that a workflow must not.
    """
    try:
        asyncio.run(_prepare(workflows(spec)))
    except BaseException as error:
        raise load_errors.refusal(spec.name, error) from error


async def _prepare(classes: list[type]) -> None:
    # A coroutine only because the sandbox asks for the running event loop.
    for each in classes:
        workflow_runner().prepare_workflow(workflow._Definition.must_from_class(each))  # noqa: SLF001 - there is no public way


def _modules(pinned: Pinned, path: str) -> dict[str, Module]:
    """The module in the file `path` of the skill, and the folders that lead to it as packages without code."""
    *folders, file = path.removesuffix(".py").split("/")
    found = {
        ".".join((pinned.package, *folders[:depth])): Module(pinned, None, None, is_package=True)
        for depth in range(len(folders) + 1)
        if not (pinned.code.joinpath(*folders[:depth], "__init__.py")).is_file()
    }
    parts = folders if file == "__init__" else [*folders, file]
    copy = str(pinned.code / path)
    name = ".".join((pinned.package, *parts))
    found[name] = Module(pinned, copy, authorship.author_path(copy), is_package=file == "__init__")
    return found


def _workflow_of_skill_file(pinned: Pinned) -> dict[str, Module]:
    """The module that runs a skill without code, and the package that it lies in."""
    # A path of a file that is not there: the module looks for the SKILL.md beside it.
    path, source = str(pinned.code / "workflow.py"), skill_file.workflow(pinned.name)
    return {
        pinned.package: Module(pinned, None, None, is_package=True),
        f"{pinned.package}.workflow": Module(pinned, path, None, is_package=False, source=source),
    }


def _belongs(name: str, pinned: Pinned) -> bool:
    return name == pinned.package or name.startswith(f"{pinned.package}.")


def _registered(pinned: Pinned) -> SkillSpec:
    """What the skill registers; Refusal when that is not one skill of its own name that a worker can run."""
    register = _register(pinned)
    registry = SkillRegistry()
    register(registry)
    where = authorship.place_of(register)
    if len(registry.specs) != 1:
        count = len(registry.specs)
        raise BrokenSkill(f"its register(registry) registered {count} skills; it must register exactly one", *where)
    spec = registry.specs[0]
    trouble = skill_check.trouble(spec, pinned.name, workflows(spec))
    if trouble:
        place = authorship.place_of(trouble.culprit)
        raise BrokenSkill(trouble.sentence, *(place if place.file else where))
    try:
        contract.schema(spec)
    except Refusal as error:
        place = authorship.place_of(spec.arguments)
        raise BrokenSkill(str(error), *(place if place.file else where)) from error
    return spec


def _register(pinned: Pinned) -> Any:
    """The skill's `register(registry)`, or that of its one function with `@skill`; BrokenSkill when there is none."""
    if skill_file.is_alone(pinned.code):
        skill_file.check(pinned.code, authorship.author_path(str(pinned.code / skill_file.NAME)))
    top = importlib.import_module(pinned.package)
    own: Any = getattr(top, "register", None)
    if callable(own):
        return own
    places = [top]
    if (pinned.code / "workflow.py").is_file() or skill_file.is_alone(pinned.code):
        places.append(importlib.import_module(f"{pinned.package}.workflow"))
    found = {id(each): each for place in places for each in vars(place).values() if _is_function(each)}
    if not found:
        first = "__init__.py" if (pinned.code / "__init__.py").is_file() else "workflow.py"
        raise BrokenSkill(
            "it has neither a register(registry) in its __init__.py nor a function with @skill in workflow.py",
            authorship.author_path(str(pinned.code / first)),
            1,
        )
    if len(found) > 1:
        names = " and ".join(each.function.__name__ for each in found.values())
        *_, second = found.values()
        where = authorship.place_of(second.function)
        raise BrokenSkill(f"it has {len(found)} functions with @skill, {names}; a folder is one skill", *where)
    (own,) = (each.register for each in found.values())
    return own


def _is_function(value: object) -> bool:
    """Whether `value` is a skill made of one function. Not by its class, whose import others need not pay for."""
    functions = sys.modules.get("sagaflow_mcp.durable.functions")
    return functions is not None and isinstance(value, functions.FunctionSkill)
