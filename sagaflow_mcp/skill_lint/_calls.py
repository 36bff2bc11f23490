"""What workflow code must not call: the clock, chance, files, the network, processes and threads.

What the sandbox forbids is asked of the sandbox; beside that are listed what it lets through, and the ways out.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, NamedTuple

from temporalio.worker.workflow_sandbox import SandboxRestrictions
from temporalio.worker.workflow_sandbox._restrictions import RestrictionContext  # There is no public way to ask.

from sagaflow_mcp.skill_lint import _source
from sagaflow_mcp.skill_lint._findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagaflow_mcp.skill_lint._findings import Level
    from sagaflow_mcp.skill_lint._reach import Spot
    from sagaflow_mcp.skill_lint._source import Skill


class Kind(NamedTuple):
    """A way in which workflow code can depend on more than its run."""

    names: re.Pattern[str]
    """The full names of what does so."""
    does: str
    workflow: str
    """What to write instead in a workflow class."""
    function: str
    """The same in a function with `@skill`."""


STEP = ("do it in an activity", "do it in a function that you give to ctx.step()")

KINDS = [
    Kind(re.compile(r"time\.sleep$"), "blocks the worker", "await asyncio.sleep()", "await ctx.sleep()"),
    Kind(re.compile(r"(time|datetime)\."), "reads the clock", "use workflow.now()", "use ctx.now()"),
    Kind(
        re.compile(r"(random|uuid|secrets)\.|os\.urandom$"),
        "draws at random",
        "use workflow.random() or workflow.uuid4()",
        "use ctx.random() or ctx.uuid()",
    ),
    Kind(
        re.compile(r"os\.(environ|getenv)\b|platform\.|locale\.|getpass\."),
        "depends on where it runs",
        "read it in build_input or in an activity",
        "read it in a function that you give to ctx.step()",
    ),
    Kind(
        re.compile(r"__builtins__\.input$"),
        "waits for a terminal that a run does not have",
        "take an argument",
        "use ctx.ask()",
    ),
    Kind(re.compile(r"asyncio\.(wait|as_completed)$"), "has no order that a replay keeps", "use workflow.{}()", ""),
    Kind(re.compile(r"(subprocess|multiprocessing)\.|asyncio\.create_subprocess"), "starts a process", *STEP),
    Kind(
        re.compile(r"(threading|concurrent|sched|signal)\.|asyncio\.to_thread"), "leaves the workflow's thread", *STEP
    ),
    Kind(
        re.compile(
            r"(aiohttp|anthropic|boto3|ftplib|http|httpx2?|imaplib|openai|poplib|requests|select|selectors|smtplib"
            r"|socket|socketserver|urllib3?|webbrowser|xmlrpc)\.|asyncio\.(open_connection|start_server)"
        ),
        "uses the network",
        *STEP,
    ),
    Kind(re.compile(r""), "uses files or the system", *STEP),
]
"""The first that matches counts."""

BESIDE = re.compile(
    r"(aiohttp|anthropic|boto3|httpx2?|openai|requests|urllib3)\.\w+(\.\w+)*$"
    r"|asyncio\.(create_subprocess_exec|create_subprocess_shell|open_connection|run|start_server|to_thread)$"
    r"|(io|codecs|tarfile|zipfile)\.open$|random\.SystemRandom$"
)
"""What the sandbox lets workflow code call, although a replay would not do the same."""

NO_CALL = frozenset({"os.environ"})
"""What must not even be looked at."""

AT_IMPORT = re.compile(r"(time|datetime|random|uuid|secrets)\.|os\.(urandom|environ|getenv)\b")
"""What gives each worker another value when it is used while a module is imported."""


class _Use(NamedTuple):
    """A call, or something that is looked at."""

    name: str
    """The full name of what is used."""
    line: int
    runs: bool
    """Whether that is while the workflow runs; otherwise when its module is imported."""
    has_arguments: bool


def check(skill: Skill, spots: list[Spot]) -> Iterator[Finding]:
    """A finding for each such use in workflow code."""
    is_function = any(skill.decorated(_source.SKILL_DECORATOR))
    passed_through = skill.passed_through
    for spot in spots:
        module = spot.scope.module
        for use in _uses(spot):
            level = _level(use, is_shared=module.name in passed_through)
            if level is not None:
                sentence = _sentence(use, is_function=is_function)
                yield Finding(str(module.path), use.line, "warning" if spot.lifted else level, sentence)


def _uses(spot: Spot) -> Iterator[_Use]:
    """What the spot calls, has called, or looks at, where that has a full name."""
    node, scope = spot.node, spot.scope
    found: list[tuple[ast.expr, bool, bool]] = []
    if isinstance(node, ast.Call):
        if not isinstance(node.func, ast.Attribute) or scope.full_name(node.func.value) not in NO_CALL:
            found.append((node.func, spot.runs, bool(node.args)))
        # Called for each instance, and not where it is written.
        found += [(each.value, True, False) for each in node.keywords if each.arg == "default_factory"]
    elif isinstance(node, ast.Attribute) and scope.full_name(node) in NO_CALL:
        found.append((node, spot.runs, False))
    for each, runs, has_arguments in found:
        name = scope.full_name(each)
        if name is not None:
            yield _Use(name, each.lineno, runs, has_arguments)


def _level(use: _Use, *, is_shared: bool) -> Level | None:
    """How bad a use is; None when it is in order."""
    if use.runs:
        is_unseeded = use.name == "random.Random" and not use.has_arguments
        return _forbidden(use.name, runs=True) or ("error" if is_unseeded or BESIDE.match(use.name) else None)
    if not is_shared and _forbidden(use.name, runs=False):
        return "error"
    return "warning" if AT_IMPORT.match(use.name) and _forbidden(use.name, runs=True) else None


def _forbidden(name: str, *, runs: bool) -> Level | None:
    """What the sandbox does about a call of `name`."""
    context = RestrictionContext()
    context.is_runtime = runs
    matcher = SandboxRestrictions.default.invalid_module_members.access_matcher(
        context, *name.split("."), "__call__", include_use=True
    )
    if matcher is None:
        return None
    return "warning" if matcher.leaf_warning else "error"


def _sentence(use: _Use, *, is_function: bool) -> str:
    kind = next(each for each in KINDS if each.names.match(use.name))
    written = use.name.removeprefix(f"{_source.BUILTINS}.")
    way_out = (kind.function if is_function and kind.function else kind.workflow).format(written.rpartition(".")[2])
    what = f"looks at {written}" if use.name in NO_CALL else f"calls {written}()"
    if use.runs:
        return f"workflow code {what}, which {kind.does} and differs on a replay: {way_out}"
    return f"the import of this module {what}, which {kind.does}: {way_out} in the run"
