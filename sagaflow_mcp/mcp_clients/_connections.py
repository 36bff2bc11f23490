"""The connections of one worker: one for each run and server."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import importlib
import json
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sagaflow_mcp.mcp_clients._connection import Connection
    from sagaflow_mcp.mcp_clients._place import Place
    from sagaflow_mcp.mcp_servers import Server

START_SECONDS = 60.0
"""How long a server may take until it answers: `npx` may have to fetch it first."""

IDLE_SECONDS = 300.0
"""After how long without a call a server is ended; what it had in memory is gone then."""

PING_SECONDS = 5.0
"""How long a server that was too slow may take to say that it is still there, so that it keeps what it knows."""


class Connections:
    """Opens them when they are needed first; a server whose connection is lost is started anew.

    Args:
        start_seconds: how long a server may take until it answers.
        idle_seconds: after how long without a call it is ended.
        ping_seconds: how long one that was too slow may take to say that it is still there.
    """

    def __init__(
        self,
        start_seconds: float = START_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
        ping_seconds: float = PING_SECONDS,
    ) -> None:
        self._start_seconds = start_seconds
        self._idle_seconds = idle_seconds
        self._ping_seconds = ping_seconds
        self._open: dict[str, Connection] = {}
        self._ending: set[Connection] = set()
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def of(self, server: Server, place: Place) -> Connection:
        """The connection of a run with `server`, in which everything is expanded; ServerError when there is none."""
        key = _key(server, place)
        async with self._turns[key]:
            found = self._open.get(key)
            if found is None or not found.is_taken():
                if found is not None:
                    await found.close()
                self._forget_ended()
                # Imported here, in a thread: the client takes a second to load, which most workers never need.
                module = await asyncio.to_thread(importlib.import_module, "sagaflow_mcp.mcp_clients._connection")
                found = module.Connection(server, place, self._idle_seconds, self._ping_seconds)
                self._open[key] = found
                await found.opened(self._start_seconds)
            return found

    def end(self, run_id: str) -> None:
        """Begin to close those of a run."""
        for key in [key for key, each in self._open.items() if each.run_id == run_id]:
            found = self._open.pop(key)
            self._turns.pop(key, None)
            self._ending.add(found)
            found.end(self._ending.discard)

    def _forget_ended(self) -> None:
        """Let go of those that were not used for long: a worker that has joined hears of no run's end."""
        for key in [key for key, each in self._open.items() if each.has_ended]:
            del self._open[key]

    async def close(self) -> None:
        """Close them all. Never raises."""
        await asyncio.gather(*(each.close() for each in [*self._open.values(), *self._ending]))


def _key(server: Server, place: Place) -> str:
    text = json.dumps([place.run_id, str(place.folder), dataclasses.asdict(server)])
    return hashlib.blake2b(text.encode(errors="surrogateescape")).hexdigest()  # There may be secrets in it.
