"""One connection with an MCP server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp import Client, MCPError
from pydantic import ValidationError

import sagaflow_mcp
from sagaflow_mcp import records
from sagaflow_mcp.mcp_clients._errors import ServerError, SessionGoneError
from sagaflow_mcp.mcp_clients._http import Address
from sagaflow_mcp.mcp_clients._stdio import Process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagaflow_mcp.mcp_clients._place import Place
    from sagaflow_mcp.mcp_servers import Server

MOST_PAGES = 100
"""How many pages of tools are read."""

MOST_LISTED = 20_000
"""How many tools are read in all, of which an agent has a few."""

WRITE_SECONDS = 5.0
"""How long a server may take to read a call."""

CLOSE_SECONDS = 20.0
"""How long a connection may take to be closed."""

REASON_LIMIT = 300
"""How much of a reason is told, in characters."""

NOT_TOLD = frozenset({types.INTERNAL_ERROR, types.PARSE_ERROR})
"""Errors that do not say whether what was asked has been done."""


class Connection:
    """A connection with `server`, in which everything is expanded.

    Its task enters and leaves the client's contexts, which must be done by one and the same.
    """

    def __init__(self, server: Server, place: Place, idle_seconds: float, ping_seconds: float) -> None:
        self.run_id = place.run_id
        self._server = server
        self._idle_seconds = idle_seconds
        self._ping_seconds = ping_seconds
        self._closing = asyncio.Event()
        self._transport = Process(server, place, self._closing.set) if server.command else Address(server)
        self._ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._trouble = ""
        self._is_late = False
        self._in_use = 0
        self._was_used = True
        self._task = asyncio.create_task(self._own(), name=f"MCP server {server.name}")

    def is_taken(self) -> bool:
        """Whether it can be used; it does not count as idle then."""
        self._was_used = True
        return not (self._task.done() or self._closing.is_set())

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it is left."""
        return self._task.done()

    async def opened(self, seconds: float) -> None:
        """Return when the server has answered. ServerError when it does not, or not within `seconds`."""
        waiting: list[asyncio.Future[Any]] = [self._task, self._ready]
        try:
            async with asyncio.timeout(seconds):
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            await self._ended()
            self._is_late = True
            self._trouble = f"it did not answer within {seconds:g} s{self._aside()}"
        except asyncio.CancelledError:
            self._task.cancel()
            raise
        if self._trouble or not self._ready.done() or self._task.done():
            await self._ended()
            what = "started" if self._server.command else "used"
            raise ServerError(self._hidden(f"MCP server {self._server.name!r} cannot be {what}: {self._why()}"))

    async def tools(self, seconds: float) -> list[types.Tool]:
        """All tools that the server lists. ServerError when it does not, or there is no end of them."""
        found, cursor = list[types.Tool](), None
        with self._used(f"list of tools of MCP server {self._server.name!r}", seconds):
            async with asyncio.timeout(seconds):
                for _ in range(MOST_PAGES):
                    page = await self._client.list_tools(cursor=cursor)
                    found += page.tools
                    cursor = page.next_cursor
                    if not cursor or len(found) > MOST_LISTED:
                        break
        if cursor or len(found) > MOST_LISTED:
            raise ServerError(f"MCP server {self._server.name!r} lists tools without end")
        return found

    async def call(self, tool: str, arguments: dict[str, Any]) -> types.CallToolResult:
        """What a tool says. ServerError when the server does not answer, or refuses the call."""
        # Not the client's own `call_tool`: it holds the result to a schema of the server's that may take for ever.
        request = types.CallToolRequest(params=types.CallToolRequestParams(name=tool, arguments=_text(arguments)))
        seconds = self._server.seconds
        try:
            with self._used(f"call of {tool!r} of MCP server {self._server.name!r}", seconds):
                # The client's own limit, which tells the server, begins only once the server has read the call.
                async with asyncio.timeout(seconds + WRITE_SECONDS):
                    return await self._client.session.send_request(
                        request, types.CallToolResult, request_read_timeout_seconds=seconds
                    )
        except _SlowError as error:
            await self._end_unless_there()
            raise ServerError(str(error), is_unknown=True) from None
        except _LostError:
            await self._ended()
            sentence = f"MCP server {self._server.name!r} has ended in the middle of the call: {self._why()}"
            raise ServerError(self._hidden(sentence), is_unknown=True) from None

    def end(self, ended: Callable[[Connection], None]) -> None:
        """Begin to close it; `ended` is called when it is."""
        self._stop()
        self._task.add_done_callback(lambda _: ended(self))

    async def close(self) -> None:
        """Close it; a process that it was with is gone then. Never raises."""
        self._stop()
        _, left = await asyncio.wait([self._task], timeout=CLOSE_SECONDS)
        if left:
            self._task.cancel()

    @property
    def _client(self) -> Client:
        return self._ready.result()

    async def _own(self) -> None:
        try:
            async with Client(
                self._transport.streams(),
                cache=None,
                client_info=types.Implementation(name="sagaflow", version=sagaflow_mcp.__version__),
            ) as client:
                self._ready.set_result(client)
                await self._until_unused()
        except Exception as error:  # noqa: BLE001 - a boundary: whatever is wrong with a server is told of it
            self._trouble = self._trouble or _sentence(error)
        finally:
            self._closing.set()

    async def _until_unused(self) -> None:
        while not self._closing.is_set():
            self._was_used = False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self._idle_seconds)
            if not (self._in_use or self._was_used):
                self._closing.set()

    @contextlib.contextmanager
    def _used(self, what: str, seconds: float) -> Iterator[None]:
        """Use the client. ServerError with a sentence that begins with `what` when the server fails."""
        self._in_use += 1
        self._was_used = True
        try:
            yield
        except MCPError as error:
            if error.code == types.REQUEST_TIMEOUT:
                raise _SlowError(f"the {what} took longer than {seconds:g} s and was cancelled") from None
            if self._transport.has_forgotten:
                self._closing.set()
                raise SessionGoneError(f"the {what} failed: the session is gone") from None
            if error.code == types.CONNECTION_CLOSED:
                raise _LostError(f"the {what} failed: {self._server.name!r} has ended") from None
            sentence = self._hidden(f"the {what} failed: {_short(error.message)}")
            raise ServerError(sentence, is_unknown=error.code in NOT_TOLD) from error
        except TimeoutError:
            raise _SlowError(f"the {what} took longer than {seconds:g} s and was cancelled") from None
        except (ValidationError, RuntimeError) as error:
            sentence = self._hidden(f"the {what} was answered with what is no MCP: {_sentence(error)}")
            raise ServerError(sentence, is_unknown=True) from error
        finally:
            self._in_use -= 1

    async def _end_unless_there(self) -> None:
        """End a server that hangs: the next call has a fresh one. One that is only slow keeps what it knows."""
        try:
            with contextlib.suppress(MCPError):
                async with asyncio.timeout(self._ping_seconds):
                    await self._client.session.send_ping()
        except TimeoutError:
            self._closing.set()

    async def _ended(self) -> None:
        """Return when the task has ended, which leaves the reason behind."""
        self._stop()
        await asyncio.wait([self._task], timeout=CLOSE_SECONDS)
        self._task.cancel()

    def _stop(self) -> None:
        self._closing.set()
        if not self._ready.done():
            self._task.cancel()

    def _why(self) -> str:
        # What it said last is no reason where it says things for ever, and is told with the trouble then.
        said = "" if self._is_late else _short(self._transport.reason())
        return said or self._trouble or "it ended without a word"

    def _aside(self) -> str:
        said = self._transport.reason()
        return f", and said last: {_short(said)}" if said else ""

    def _hidden(self, sentence: str) -> str:
        return self._server.hidden(sentence)


class _SlowError(ServerError):
    """It took too long."""


class _LostError(ServerError):
    """The connection is gone."""


def _sentence(error: BaseException) -> str:
    """The reason in `error`, of several the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, MCPError) and error.code == types.CONNECTION_CLOSED:
        return ""  # Which says no more than that it failed.
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return _short(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
    return _short(str(error) or type(error).__name__)


def _short(text: str) -> str:
    return records.one_line(text, REASON_LIMIT)


def _text(value: Any) -> Any:
    """`value` in which every text is one: what a model gives may hold half of a character."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
