"""A server that is a process of ours: it reads and writes messages, one on a line, and is gone when we are.

Not the client's own transport of the `mcp` package: that one keeps a line whole however long it gets, and leaves the
process behind where the worker is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING

import anyio
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from sagaflow_mcp import leash
from sagaflow_mcp.mcp_clients._errors import ServerError
from sagaflow_mcp.mcp_clients._said import Said

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.client._transport import TransportStreams

    from sagaflow_mcp.mcp_clients._place import Place
    from sagaflow_mcp.mcp_servers import Server

LARGEST_MESSAGE = 10_000_000
"""The longest message that is read, in bytes."""

PIECE_BYTES = 65_536
"""How much is read at once."""

MOST_GARBAGE = 1_000
"""After how many lines in a row that are no messages a server is given up."""

GRACE_SECONDS = 2.0
"""How long a process may take to end once nobody writes to it any more."""

END_SECONDS = leash.SECONDS + 5.0
"""How long what is left of it may take to be killed."""


class Process:
    """The process of `server`.

    Args:
        server: with everything expanded.
        place: where it works.
        ended: called when nothing more comes from it.
    """

    has_forgotten = False
    """It knows what it knows as long as it lives."""

    def __init__(self, server: Server, place: Place, ended: Callable[[], None]) -> None:
        self._server = server
        self._place = place
        self._ended = ended
        self._said: Said | None = None
        self._trouble = ""

    def reason(self) -> str:
        """Why it does not work, as far as that is known."""
        return self._trouble or (self._said.reason() if self._said else "")

    @contextlib.asynccontextmanager
    async def streams(self) -> AsyncIterator[TransportStreams]:
        """The messages from it and to it; nothing of the process is left afterwards, not even if we are killed.

        Raises:
            ServerError: it cannot be started.
        """
        process, holder = await self._started()
        self._said = said = Said(self._place.log)
        incoming, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        write, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
        tasks = [
            asyncio.create_task(self._read(process, incoming)),
            asyncio.create_task(self._write(process, outgoing, incoming)),
            asyncio.create_task(_listen(process, said)),
        ]
        try:
            yield read, write
        finally:
            for stream in (read, write, incoming, outgoing):
                stream.close()
            try:
                await self._end(process, holder, tasks)
            finally:
                said.close()

    async def _started(self) -> tuple[asyncio.subprocess.Process, int]:
        """The process, and the descriptor that it lives as long as."""
        environ = {**self._place.environ, **self._server.env}
        # A path starts where the server works, not where we do.
        given = self._server.command
        command = shutil.which(self._place.folder / given if "/" in given else given, path=environ.get("PATH"))
        if command is None:
            raise ServerError(f"there is no command {self._server.command!r}")
        pipe, holder = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", leash.__file__, f"{leash.HOLDER}{pipe}", command, *self._server.args),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                pass_fds=(pipe,),
                cwd=self._place.folder,
                env=environ,
            )
        except BaseException as error:
            os.close(holder)
            if isinstance(error, OSError):
                raise ServerError(f"{self._server.command!r} cannot be started: {error.strerror or error}") from error
            raise
        finally:
            os.close(pipe)
        return process, holder

    async def _end(self, process: asyncio.subprocess.Process, holder: int, tasks: list[asyncio.Task[None]]) -> None:
        assert process.stdin is not None
        try:
            process.stdin.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), GRACE_SECONDS)
        finally:
            os.close(holder)
            try:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), END_SECONDS)
            finally:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)  # Where the server has killed what ends it.
                for task in tasks[:2]:
                    task.cancel()
                # What it said last is there already, and is the reason where it ended by itself.
                await asyncio.wait(tasks, timeout=GRACE_SECONDS)
                tasks[2].cancel()

    async def _read(
        self, process: asyncio.subprocess.Process, incoming: MemoryObjectSendStream[SessionMessage | Exception]
    ) -> None:
        assert process.stdout is not None
        try:
            with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                async with incoming:
                    await self._pass_on(process.stdout, incoming)
        finally:
            self._ended()
        while await process.stdout.read(PIECE_BYTES):
            pass  # It could not end while it has to wait for somebody to read.

    async def _pass_on(
        self, stdout: asyncio.StreamReader, incoming: MemoryObjectSendStream[SessionMessage | Exception]
    ) -> None:
        """Pass each message on until there is none any more, or one that is too long."""
        begun, garbage = bytearray(), 0
        while piece := await stdout.read(PIECE_BYTES):
            *lines, rest = piece.split(b"\n")
            for line in lines:
                begun += line
                message = self._message(bytes(begun))
                begun.clear()
                garbage = 0 if message else garbage + 1
                if message:
                    await incoming.send(message)
            begun += rest
            if len(begun) > LARGEST_MESSAGE:
                self._trouble = f"it has sent a message of more than {LARGEST_MESSAGE // 1_000_000} MB"
                return
            if garbage > MOST_GARBAGE:
                self._trouble = "what it says is no MCP"
                return

    def _message(self, line: bytes) -> SessionMessage | None:
        """The message on a line; None for what is none, such as what a careless server prints."""
        if not line.strip():
            return None
        with contextlib.suppress(ValueError):
            return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
        with contextlib.suppress(ValueError, RecursionError):
            # Half of a character, which JSON can hold and a text cannot.
            text = json.dumps(json.loads(line), ensure_ascii=False).encode(errors="replace")
            return SessionMessage(jsonrpc_message_adapter.validate_json(text, by_name=False))
        if self._said is not None:
            self._said.add(line[:PIECE_BYTES] + b"\n")
        return None

    async def _write(
        self,
        process: asyncio.subprocess.Process,
        outgoing: MemoryObjectReceiveStream[SessionMessage],
        incoming: MemoryObjectSendStream[SessionMessage | Exception],
    ) -> None:
        assert process.stdin is not None
        with contextlib.suppress(OSError, anyio.ClosedResourceError):
            async for message in outgoing:
                process.stdin.write(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
                await process.stdin.drain()
        incoming.close()  # So that nobody waits for an answer to what it did not get.


async def _listen(process: asyncio.subprocess.Process, said: Said) -> None:
    assert process.stderr is not None
    while piece := await process.stderr.read(PIECE_BYTES):
        said.add(piece)
