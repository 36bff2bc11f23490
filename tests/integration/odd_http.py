"""An MCP server at an address of this machine, made with the `mcp` package as others make theirs."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send

TOKEN = "Bearer keep-this-secret"

WAIT_SECONDS = 10.0
"""How long the server may take to be up, or to be gone."""


def made(*, as_json: bool, is_old: bool) -> Any:
    """The ASGI application, which wants `TOKEN` and, where it `is_old`, has sessions that end with it."""
    server = MCPServer("web")
    counts: dict[str, int] = {}

    @server.tool()
    def count(ctx: Context) -> str:
        """Count the calls of this session."""
        session = dict(ctx.headers or {}).get("mcp-session-id", "")
        counts[session] = counts.get(session, 0) + 1
        return str(counts[session])

    @server.tool()
    def big() -> str:
        """Say too much."""
        return "b" * 20_000_000

    @server.tool()
    def headers(ctx: Context) -> str:
        """Say which headers came along."""
        return str(dict(ctx.headers or {}))

    inner = server.streamable_http_app(json_response=as_json)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        """Let those in who have the token."""
        given = dict(scope.get("headers", ()))
        if scope["type"] == "http" and given.get(b"authorization") != TOKEN.encode():
            await JSONResponse({"error": "who are you"}, status_code=401)(scope, receive, send)
        elif is_old and given.get(b"mcp-method") == b"server/discover":
            await JSONResponse({"error": "no such method"}, status_code=404)(scope, receive, send)
        else:
            await inner(scope, receive, send)

    return app


@contextlib.contextmanager
def served(port: int = 0, *, as_json: bool = False, is_old: bool = False) -> Iterator[str]:
    """The address of a server that works meanwhile."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen()  # Before the thread does: whoever comes too early waits.
        app = made(as_json=as_json, is_old=is_old)
        config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1, ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        finally:
            server.should_exit = True
            thread.join(WAIT_SECONDS)
