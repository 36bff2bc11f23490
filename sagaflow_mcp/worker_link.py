"""The worker's connection to its engine: made again when the engine dies, whose successor it starts if need be."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from sagaflow_mcp import __version__, control, engine_start, processes
from sagaflow_mcp.errors import Failure, SagaflowError

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from sagaflow_mcp.credentials import Credentials
    from sagaflow_mcp.paths import Home

logger = logging.getLogger(__name__)

STATE_SECONDS = 5.0
"""The pause between two reports of the worker's state to the engine."""

CONNECT_SECONDS = 1.0
"""How long the engine may take to accept a connection."""

RETRY_SECONDS = 0.05
"""The pause between two attempts to reach an engine."""

PATIENCE_SECONDS = 2.0
"""How long the engine's keeper has to bring the next engine before the worker does; doubled each time."""


class Worker(Protocol):
    """What the engine asks of a worker."""

    @property
    def closer(self) -> bool:
        """Whether it is known better now what killed its predecessors: then another death is no crash loop."""

    async def run_skill(self, name: str, digest: str) -> None:
        """Take the work of one skill version; a SagaflowError when it cannot."""

    def remember(self, run_id: str, values: dict[str, str]) -> None:
        """Keep the model credentials that came with a launch."""

    def state(self) -> dict[str, Any]:
        """`open_runs`, `last_probe`, `server` and `trouble`, as far as there is something to say."""


async def serve(
    home: Home,
    worker: Worker,
    credentials: Credentials,
    *,
    program: Sequence[str] = engine_start.ENGINE,
    state_seconds: float = STATE_SECONDS,
    is_ready: bool = True,
) -> None:
    """Serve the engine of `home` for ever; `is_ready` says whether `worker` takes work. Never raises."""
    _keep_lock_to_ourselves()
    while True:
        connection = await _reach(home, program)
        try:
            await _Session(worker, credentials, state_seconds, is_ready=is_ready).run(connection)
        except (OSError, ValueError) as error:
            logger.warning("the connection to the engine broke: %s", error)
        else:
            logger.info("the engine is gone")
        await asyncio.sleep(RETRY_SECONDS)


def _keep_lock_to_ourselves() -> None:
    """See to it that no process started from here holds the lock by which this one is known to live."""
    descriptor = os.environ.pop(processes.LOCK_VARIABLE, "")
    if descriptor.isdigit():
        with suppress(OSError):
            os.set_inheritable(int(descriptor), False)


async def _reach(home: Home, program: Sequence[str]) -> socket.socket:
    """A connection to the engine of `home`: the living one, one its keeper brings, or one that is started here."""
    patience = PATIENCE_SECONDS
    begun = time.monotonic()
    while True:
        try:
            return control.connect(home, CONNECT_SECONDS)
        except OSError:
            await asyncio.sleep(RETRY_SECONDS)
        if time.monotonic() - begun > patience:
            patience *= 2
            await asyncio.to_thread(_start_next, home, program)


def _start_next(home: Home, program: Sequence[str]) -> None:
    try:
        if not processes.Place(home.engine, "engine").alive():
            os.close(engine_start.start(home, program=program))
    except (Failure, OSError) as error:
        logger.warning("the next engine could not be started: %s", error)


class _Session:
    """One connection, from hello to its end."""

    def __init__(self, worker: Worker, credentials: Credentials, state_seconds: float, *, is_ready: bool) -> None:
        self._worker = worker
        self._credentials = credentials
        self._state_seconds = state_seconds
        self._is_ready = is_ready
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=control.LONGEST_LINE)
        try:
            await self._say(writer, {"op": "worker", **self._hello()})
            greeting = json.loads(await reader.readline() or b"{}")
            if greeting.get("ok") is not True:
                raise ValueError(str(greeting.get("error", "the engine said nothing")))
            self._credentials.merge(greeting["credentials"])
            if self._is_ready:
                await self._say(writer, {"event": "ready", "closer": self._worker.closer})
            self._begin(self._report(writer))
            while line := await reader.readline():
                self._begin(self._answer(writer, json.loads(line)))
        finally:
            for task in self._tasks:
                task.cancel()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _hello(self) -> dict[str, Any]:
        return {"pid": os.getpid(), "version": __version__, "credentials": self._credentials.export()}

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _report(self, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while True:
                await self._say(writer, {"event": "state", **self._worker.state()})
                await asyncio.sleep(self._state_seconds)

    async def _answer(self, writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
        try:
            await self._do(message)
        except SagaflowError as error:
            answer: dict[str, Any] = {"ok": False, "error": str(error)}
        except Exception:
            logger.exception("the engine's request %r failed", message.get("do"))
            answer = {"ok": False, "error": "the worker failed at it; see `sagaflow engine logs`"}
        else:
            answer = {"ok": True}
        with suppress(OSError):
            await self._say(writer, {"id": message.get("id"), **answer})

    async def _do(self, message: dict[str, Any]) -> None:
        wanted = message.get("do")
        if wanted == "run_skill":
            await self._worker.run_skill(message["name"], message["digest"])
        elif wanted == "credentials":
            self._worker.remember(message["run_id"], message["values"])
        else:
            raise Failure(f"the worker does not know the request {wanted!r}")

    async def _say(self, writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
        writer.write(json.dumps(message).encode() + b"\n")
        await writer.drain()
