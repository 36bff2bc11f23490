"""A server at an address, spoken to over streamable HTTP."""

from __future__ import annotations

import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx2
from mcp.client.streamable_http import streamable_http_client

from sagaflow_mcp.mcp_clients._stdio import LARGEST_MESSAGE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mcp.client._transport import TransportStreams

    from sagaflow_mcp.mcp_servers import Server

CONNECT_SECONDS = 20.0
"""How long it may take to reach the server."""

SESSION = "mcp-session-id"
"""The header that names a session."""


class TooLongError(httpx2.StreamError):
    """The answer is longer than what is read."""

    def __init__(self) -> None:
        super().__init__(f"it has sent an answer of more than {LARGEST_MESSAGE // 1_000_000} MB")


class Address:
    """The address of `server`, in which everything is expanded."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._trouble = ""
        self.has_forgotten = False
        """Whether the server does not know our session any more: it was restarted, say."""

    def reason(self) -> str:
        """Why it does not work, as far as that is known."""
        return self._trouble

    @contextlib.asynccontextmanager
    async def streams(self) -> AsyncIterator[TransportStreams]:
        """The messages from it and to it."""
        async with (
            httpx2.AsyncClient(
                # Unpacked, a small answer could be of any length.
                headers={**self._server.headers, "accept-encoding": "identity"},
                # How long a call may take is for the call to say.
                timeout=httpx2.Timeout(CONNECT_SECONDS, read=None),
                event_hooks={"response": [self._bound]},
            ) as client,
            streamable_http_client(self._server.url, http_client=client, max_sse_event_size=LARGEST_MESSAGE) as streams,
        ):
            yield streams

    async def _bound(self, response: httpx2.Response) -> None:
        """See to it that no more than `LARGEST_MESSAGE` bytes of an answer are read."""
        # So the protocol has it say so: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports
        self.has_forgotten |= response.status_code == HTTPStatus.NOT_FOUND and SESSION in response.request.headers
        self._trouble = f"it has answered with HTTP status {response.status_code}" if response.is_error else ""
        if response.headers.get("content-encoding", "identity") != "identity":
            raise httpx2.StreamError("it has sent a packed answer, which it was not asked for")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            response.stream = _Bounded(response.stream)


class _Bounded(httpx2.AsyncByteStream):
    """Another stream's bytes. TooLongError when there are more than `LARGEST_MESSAGE`."""

    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._stream:
            size += len(piece)
            if size > LARGEST_MESSAGE:
                raise TooLongError
            yield piece

    async def aclose(self) -> None:
        """Close it."""
        await self._stream.aclose()
