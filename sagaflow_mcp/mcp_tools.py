"""The tools of MCP servers: what a model is told of them, and what it is told of their results."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import mimetypes
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import agent_tools, mcp_names, paths, records
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from mcp_types import CallToolResult, ContentBlock, ResourceContents, Tool

MOST = 128
"""How many tools of servers an agent may have."""

DESCRIPTION_LIMIT = 2_048
"""How much of a tool's description is told, in characters: as in Claude Code."""

SCHEMA_LIMIT = 32_000
"""The largest input schema, as JSON."""

ALL_LIMIT = 300_000
"""How much of a request all definitions may take, as JSON: it is sent with every turn."""

NOT_AT_THE_TOP = ("oneOf", "allOf", "anyOf")
"""What the Messages API does not take at the top of an input schema."""

FOLDER = "mcp-files"
"""Where in the run's folder the images, files and long texts are that tools have given back."""

MOST_BLOCKS = 100
"""How many parts of a result are told: each may be a file."""

LONG_TEXT = agent_tools.RESULT_LIMIT - 1_000
"""How much of a text is told, in characters; all of a longer one is a file."""


def offered(server: str, tools: Iterable[Tool], names: Sequence[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """The tools that an agent has of a server, and why it has to do without others that its names stand for.

    Args:
        server: its name.
        tools: all that it lists.
        names: those of the agent's tools that are about it.

    Raises:
        Refusal: one that is named cannot be used, or is not there.
    """
    found, left_out = dict[str, dict[str, Any]](), dict[str, str]()
    for tool in tools:
        made = _definition(server, tool)
        if made["name"] in found:
            left_out[made["name"]] = "another tool of the server has that name"
        elif trouble := _trouble(made):
            left_out[made["name"]] = trouble
        else:
            found[made["name"]] = made
    wanted = set(names)
    for name in wanted:
        if not mcp_names.is_all(name, server) and name not in found:
            raise Refusal(_missing(server, name, left_out, list(found)))
    takes_all = any(mcp_names.is_all(name, server) for name in names)
    chosen = [each for each in found.values() if takes_all or each["name"] in wanted]
    lacking = [f"tool {name!r} is left out: {why}" for name, why in left_out.items()] if takes_all else []
    return chosen, [records.one_line(each) for each in lacking]


def check_size(chosen: Sequence[dict[str, Any]]) -> None:
    """Return when these are not too many for a model; Refusal otherwise."""
    size = len(json.dumps(definitions(chosen)))
    if len(chosen) <= MOST and size <= ALL_LIMIT:
        return
    servers = ", ".join(sorted({each["server"] for each in chosen}))
    what = f"{len(chosen)} tools" if len(chosen) > MOST else f"tools that take {size:,} characters to describe"
    limit = f"{MOST}" if len(chosen) > MOST else f"{ALL_LIMIT:,}"
    raise Refusal(
        f"the agent would have {what}, of MCP servers {servers}, more than {limit}; "
        "name those that it needs: mcp__<server>__<tool>"
    )


def definitions(chosen: Iterable[dict[str, Any]], unasked: Sequence[str] = ()) -> list[dict[str, Any]]:
    """What a model is told of the tools, as the Messages API takes it; a person is asked but for those `unasked`."""
    return [
        {
            "name": each["name"],
            "description": agent_tools.described(each["name"], each["description"], unasked),
            "input_schema": each["input_schema"],
        }
        for each in chosen
    ]


def told(result: CallToolResult, folder: Path, hidden: Callable[[str], str] = str) -> str:
    """What a model is told of a result. What is no text, and a long text, is a file in the run's `folder`.

    Args:
        result: of a call.
        folder: the run's.
        hidden: takes what is secret out of a text.
    """
    said = "\n".join(_told(each, folder) for each in result.content[:MOST_BLOCKS])
    if len(result.content) > MOST_BLOCKS:
        said += f"\n({len(result.content) - MOST_BLOCKS:,} further parts left out)"
    if not said.strip() and result.structured_content is not None:
        said = json.dumps(result.structured_content, ensure_ascii=False)
    said = hidden(said)
    if len(said) <= LONG_TEXT:
        return agent_tools.cut(said)
    path = _kept(said.encode(errors="replace"), "text/plain", folder)
    return agent_tools.cut(f"{said[:LONG_TEXT]}\n({len(said) - LONG_TEXT:,} characters left out; all of it: {path})")


def _definition(server: str, tool: Tool) -> dict[str, Any]:
    """What is kept of a tool."""
    schema = {name: value for name, value in tool.input_schema.items() if name not in NOT_AT_THE_TOP}
    description = (tool.description or tool.title or "").encode(errors="replace").decode()
    return {
        "name": mcp_names.of_tool(server, tool.name),
        "description": description[:DESCRIPTION_LIMIT],
        "input_schema": schema,
        "server": server,
        "tool": tool.name,
        # Whoever trusts a server to do something trusts it in this, too: at worst, what it does is done twice.
        "reads": bool(tool.annotations and tool.annotations.read_only_hint),
    }


def _trouble(made: dict[str, Any]) -> str:
    """Why a model cannot be told of a tool; empty when it can."""
    if not mcp_names.OF_TOOL.fullmatch(made["name"]):
        return "its name is longer than 128 characters"
    if made["input_schema"].get("type") != "object":
        return "its input schema is none of an object"
    if len(json.dumps(made["input_schema"])) > SCHEMA_LIMIT:
        return f"its input schema takes more than {SCHEMA_LIMIT:,} characters"
    return ""


def _missing(server: str, name: str, left_out: dict[str, str], there: list[str]) -> str:
    if name in left_out:
        return f"tool {name!r} of MCP server {server!r} cannot be used: {left_out[name]}"
    shown = ", ".join(there[:20]) + (", …" if len(there) > 20 else "")  # noqa: PLR2004 - a sentence's worth
    return f"MCP server {server!r} has no tool {name!r}; it has {shown or 'none'}"


def _told(block: ContentBlock, folder: Path) -> str:
    if block.type == "text":
        return block.text
    if block.type == "image" or block.type == "audio":  # noqa: PLR1714 - which mypy understands
        return _file(block.type, block.data, block.mime_type, folder)
    if block.type == "resource":
        return _resource(block.resource, folder)
    return f"[resource {records.one_line(str(block.uri), 500)}: {records.one_line(block.description or block.name)}]"


def _resource(resource: ResourceContents, folder: Path) -> str:
    where = f"resource {records.one_line(str(resource.uri), 500)}"
    text = getattr(resource, "text", None)
    if text is not None:
        return f"[{where}]\n{text}"
    return _file(where, getattr(resource, "blob", ""), resource.mime_type or "", folder)


def _file(what: str, data: str, kind: str, folder: Path) -> str:
    """A line that tells of a file, which then is one of the run."""
    shown = records.one_line(kind, 100) or "unknown kind"
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return f"[{what}, {shown}: it is damaged]"
    return f"[{what}, {shown}, {len(content):,} bytes: {_kept(content, kind, folder)}]"


def _kept(content: bytes, kind: str, folder: Path) -> str:
    """The path of the file, which is called after what is in it: a call that is made again leaves no second one."""
    try:
        return str(_written(content, kind, folder))
    except OSError as error:  # The call was made; that this cannot be kept must not hide what it said.
        return f"it could not be kept: {error.strerror or error}"


def _written(content: bytes, kind: str, folder: Path) -> Path:
    ending = mimetypes.guess_extension(kind.partition(";")[0].strip().lower()) or ".bin"
    path = folder / FOLDER / f"{hashlib.sha256(content).hexdigest()[:16]}{ending}"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not path.exists():
        paths.write_atomically(str(path), content)
    return path
