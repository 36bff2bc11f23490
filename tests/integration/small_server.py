"""A small real MCP server for the launcher's tests: `python small_server.py [FOLDER]`.

A file named `broken` in FOLDER lets it fail while it starts.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import anyio
from mcp.server.mcpserver import Context, Elicit, MCPServer, Resolve
from pydantic import BaseModel

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()

server = MCPServer("sagaflow", version="0.0.0", log_level="ERROR")


class Colour(BaseModel):
    """What is asked for."""

    colour: str


async def ask() -> Elicit[Colour]:
    """The question, in the form that both generations of the protocol know."""
    return Elicit("which colour?", Colour)


@server.tool(structured_output=False)
async def echo(text: str) -> str:
    """The same text."""
    return text


@server.tool(structured_output=False)
async def pid() -> str:
    """This process."""
    return str(os.getpid())


@server.tool(structured_output=False)
async def big(size: int) -> str:
    """A long text."""
    return "x" * size


@server.tool(structured_output=False)
async def steps(ctx: Context[Any, Any]) -> str:
    """Two notes of progress."""
    await ctx.report_progress(1, 2, "half")
    await ctx.report_progress(2, 2, "whole")
    return "done"


@server.tool(structured_output=False)
async def paint(answer: Annotated[Colour, Resolve(ask)]) -> str:
    """What the client chose."""
    return f"painted {answer.colour}"


@server.tool(structured_output=False)
async def wait(name: str) -> str:
    """Writes its pid to the file `name`, and never answers."""
    FOLDER.joinpath(name).write_text(str(os.getpid()), encoding="utf-8")
    await anyio.sleep_forever()
    return "never"


@server.tool(structured_output=False)
async def grow(ctx: Context[Any, Any]) -> str:
    """One tool more, and a note that there is."""
    server.add_tool(echo, name="grown")
    await ctx.notify_tools_changed()
    return "grown"


@server.resource("small://{name}")
def resource(name: str) -> str:
    """A resource."""
    return f"this is {name}"


if __name__ == "__main__":
    if FOLDER.joinpath("broken").exists():
        sys.exit("this server is broken")
    server.run("stdio")
