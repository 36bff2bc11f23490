"""The tools that agents have: what a model is told of them, and what they do."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ValidationError

from sagaflow_mcp import mcp_names, mcp_servers, records
from sagaflow_mcp.agent_tools import _asking, _delegation, _files, _search, _shell, _web
from sagaflow_mcp.agent_tools._asking import Asked, covers
from sagaflow_mcp.agent_tools._workspace import Workspace
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

__all__ = [
    "READING",
    "RESULT_LIMIT",
    "SPAWN",
    "TIMEOUT",
    "TOOLS",
    "UNASKED",
    "UNKNOWN",
    "Asked",
    "Tool",
    "Workspace",
    "about",
    "chosen",
    "covers",
    "cut",
    "declared",
    "definitions",
    "described",
    "of_claude_code",
    "only_reads",
    "timeout",
    "use",
]

RESULT_LIMIT = 50_000
"""How much of a result the model is told, in characters."""


TIMEOUT = timedelta(minutes=2)
"""How long a call may take, unless its tool says otherwise."""

MCP_TIMEOUT = timedelta(seconds=mcp_servers.LONGEST_CALL_SECONDS) + 2 * TIMEOUT
"""The same for a tool of an MCP server, which may have to be started; the server's own limit is held before."""

UNKNOWN = (
    "Whether this call has taken effect is unknown: the machine was stopped in its middle. "
    "Look before you make it again."
)
"""What a model is told of a call that changes something and was cut off by a crash."""


@dataclass(frozen=True)
class Tool:
    """A tool."""

    input: type[BaseModel]
    """What it takes; its docstring is what the model is told."""
    run: Callable[[Any, Workspace], str | Awaitable[str]] | None
    """A plain function gets a thread of its own; None for what the run itself does."""
    changes: bool = False
    """Whether it leaves something behind, so that it must not be used twice for one call."""
    claude_names: tuple[str, ...] = ()
    """What Claude Code calls it, in the `allowed-tools` of a SKILL.md."""
    is_given_unasked: bool = False
    """Whether an agent has it whose author names no tools."""
    timeout: timedelta = TIMEOUT
    """How long one call may take."""


SPAWN = "spawn_subagent"
"""The name of the tool that hands a part of the work to another agent."""

TOOLS: Mapping[str, Tool] = {
    "read_file": Tool(_files.ReadFile, _files.read_file, claude_names=("Read", "NotebookRead"), is_given_unasked=True),
    "glob": Tool(_search.Glob, _search.glob, claude_names=("Glob", "LS"), is_given_unasked=True),
    "grep": Tool(_search.Grep, _search.grep, claude_names=("Grep",), is_given_unasked=True),
    "write_file": Tool(_files.WriteFile, _files.write_file, changes=True, claude_names=("Write",)),
    "edit_file": Tool(_files.EditFile, _files.edit_file, changes=True, claude_names=("Edit", "MultiEdit")),
    "bash": Tool(
        _shell.Bash,
        _shell.bash,
        changes=True,
        claude_names=("Bash",),
        timeout=_shell.LONGEST + TIMEOUT,
    ),
    SPAWN: Tool(_delegation.SpawnSubagent, None, claude_names=("Task", "Agent")),
    "web_fetch": Tool(_web.WebFetch, _web.web_fetch, claude_names=("WebFetch",)),
}
"""The tools by name.

What they are called, which of them change something and which only read, is part of the history of runs in flight: a
change of it must go through `workflow.patched`.
"""

READING = tuple(name for name, tool in TOOLS.items() if tool.is_given_unasked)
"""The names of those that an agent has whose author names none: they only read, and only files."""

UNASKED = (*READING, SPAWN)
"""The names of those that nobody is asked about: a subagent asks for itself."""

ASKED = "A person is asked before each call, who may answer only hours later: use it where the task needs it."
"""What a model is told of a tool that it may not use unasked."""


def chosen(names: Iterable[str]) -> tuple[str, ...]:
    """`names` as they are offered, in the order of `TOOLS`, and then those of MCP servers. Refusal when one is none.

    Whether there are such servers is not looked at: a workflow reads no files.
    """
    wanted = set(names)
    of_servers = mcp_names.among(wanted)
    unknown = sorted(wanted - TOOLS.keys() - set(of_servers))
    if unknown:
        raise Refusal(f"there is no tool {unknown[0]!r}; there are {', '.join(TOOLS)}, and mcp__<server>__<tool>")
    return (*(name for name in TOOLS if name in wanted), *of_servers)


def timeout(name: str) -> timedelta:
    """How long a call of the tool `name` may take, whether or not there is such a tool."""
    if name in TOOLS:
        return TOOLS[name].timeout
    return MCP_TIMEOUT if name.startswith(mcp_names.PREFIX) else TIMEOUT


def only_reads(call: Mapping[str, str]) -> bool:
    """Whether a call, as a turn tells of it, can be made at the same time as others, and again."""
    tool = TOOLS.get(call["name"])
    return not tool.changes if tool else bool(call.get("reads"))


def declared(names: Iterable[str]) -> tuple[str, ...]:
    """The tools that a skill says its agents use unasked. Refusal when one is none.

    Raises:
        TypeError: `names` is a text.
    """
    if isinstance(names, str):
        raise TypeError(f"allowed_tools is the text {names!r}; give a list of the names of tools")
    return chosen(names)


def of_claude_code(allowed: Sequence[str]) -> tuple[list[str], list[str]]:
    """The tools that a SKILL.md lets its agent use unasked, and what it names that there is not.

    Args:
        allowed: as Claude Code calls them. A limit, as in `Bash(git log:*)` or `Edit(docs/**)`, cannot be held here: a
            person is asked about each call of such a tool. One on reading can be left away, since Claude Code asks
            nobody before it reads in the folder that it works in.
    """
    found = [(each, *_of_claude_code(each)) for each in allowed]
    return [name for _, name, is_whole in found if name and is_whole], [each for each, name, _ in found if not name]


def _of_claude_code(allowed: str) -> tuple[str | None, bool]:
    """The tool that `allowed` names, and whether it names all of it."""
    if mcp_names.is_named(allowed):
        return allowed, True
    theirs, _, limit = allowed.partition("(")
    name = next((name for name, tool in TOOLS.items() if theirs in tool.claude_names), None)
    return name, name in READING or limit in {"", "*)"}


def definitions(names: Iterable[str], unasked: Sequence[str] = ()) -> list[dict[str, Any]]:
    """What a model is told of the tools `names` but those of MCP servers, as the Messages API takes it.

    A person is asked about those that are not among `unasked`.
    """
    return [
        {
            "name": name,
            "description": described(name, TOOLS[name].input.__doc__ or "", unasked),
            "input_schema": _schema(TOOLS[name].input),
        }
        for name in chosen(names)
        if name in TOOLS
    ]


def described(name: str, text: str, unasked: Sequence[str]) -> str:
    """What a model is told of the tool `name`: the `text`, and that a person is asked where it is not `unasked`."""
    return text if covers([*UNASKED, *unasked], name) else f"{text}\n\n{ASKED}"


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema()
    schema.pop("description", None)
    return schema


def about(name: str, given: Mapping[str, Any], workspace: Workspace) -> Asked | None:
    """What a person is asked about the call of the tool `name`; None where it needs nobody's leave.

    That is where it writes a file of the run's own, and where the tool will refuse it anyway.
    """
    if name in TOOLS:
        try:
            parsed = TOOLS[name].input.model_validate(given)
        except ValidationError:
            return None
        # Only what the tool takes, in its own order: a value that it ignores could pass for what it does.
        given = parsed.model_dump(include=parsed.model_fields_set)
    return _asking.about(name, given, workspace)


async def use(name: str, given: object, workspace: Workspace) -> str:
    """What the tool `name` finds or does. Refusal, for the model to read, when it cannot."""
    tool = TOOLS[name]
    try:
        parsed = tool.input.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "input"
        raise Refusal(f"{name} was given a wrong {where}: {records.one_line(first['msg'])}") from None
    try:
        said = await _run(tool, parsed, workspace)
    except OSError as error:  # Such as a folder on the way that may not be searched.
        raise Refusal(f"{name} cannot do that: {error.strerror or error}") from error
    return cut(said)


def cut(said: str) -> str:
    """As much of what a tool says as the model is told."""
    # The name of a file may hold bytes that are no text; a request that held them could not be sent.
    text = said.encode(errors="replace").decode()
    if len(text) <= RESULT_LIMIT:
        return text
    return f"{text[:RESULT_LIMIT]}\n(cut off here, after {RESULT_LIMIT:,} of {len(text):,} characters; ask for less)"


async def _run(tool: Tool, parsed: BaseModel, workspace: Workspace) -> str:
    if inspect.iscoroutinefunction(tool.run):
        said: str = await tool.run(parsed, workspace)
        return said
    return await asyncio.to_thread(cast("Callable[[Any, Workspace], str]", tool.run), parsed, workspace)
