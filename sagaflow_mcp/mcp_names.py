"""The names of MCP servers' tools as Claude Code writes them: `mcp__<server>__<tool>`, `mcp__<server>` for all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX = "mcp__"

ALL = "__*"
"""Ends what stands for all tools of a server."""

_NAMED = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{1,200}}(?:{re.escape(ALL)})?")

OF_TOOL = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""What a tool may be called, by the Messages API."""


def is_named(text: str) -> bool:
    """Whether `text` is such a name, whatever servers there are."""
    return _NAMED.fullmatch(text) is not None


def among(names: Iterable[str]) -> list[str]:
    """Those of `names` that are such names, sorted: a set has no order of its own that each process finds again."""
    return sorted({name for name in names if is_named(name)})


def server_of(name: str, servers: Iterable[str]) -> str | None:
    """Which of `servers` the name is about, of several the longest; None when it is about none."""
    whole = name.removesuffix(ALL)
    fitting = [each for each in servers if f"{whole}__".startswith(f"{PREFIX}{each}__")]
    return max(fitting, key=len, default=None)


def is_all(name: str, server: str) -> bool:
    """Whether the name, which is about `server`, stands for all of its tools."""
    return name.removesuffix(ALL) == f"{PREFIX}{server}"


def part(name: str) -> str:
    """How a server or a tool whose own `name` may hold any characters is called in such a name."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)


def of_tool(server: str, tool: str) -> str:
    """The name of a tool, whose own name may hold any characters."""
    return f"{PREFIX}{server}__{part(tool)}"


def covers(pattern: str, name: str) -> bool:
    """Whether `pattern` is the name of a tool, or stands for all tools of its server."""
    whole = pattern.removesuffix(ALL)
    return pattern == name or (is_named(pattern) and name.startswith(f"{whole}__"))
