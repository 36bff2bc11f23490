"""`sagaflow worker run`: the engine and its worker kept up from a terminal, with the worker's log."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import engine_client, model_access, records

if TYPE_CHECKING:
    from typing import NoReturn

    from sagaflow_mcp.settings import Settings

LOOK_SECONDS = 1.0
"""Between two looks at the log and at the engine."""

LINE_LIMIT = 1000
"""The longest line shown, in characters."""


def keep(settings: Settings) -> NoReturn:
    """Keep the engine and its worker up, and show what the worker logs from now on, until interrupted."""
    _check_server(settings)
    engine_client.ready(settings.home, credentials=model_access.found(settings), environ=settings.for_engine())
    tail = Tail(Path(settings.home.engine) / "worker.log")
    print("the worker is up; ^C leaves it running, `sagaflow engine stop` ends it", file=sys.stderr, flush=True)
    while True:
        for line in tail.lines():
            print(records.one_line(line, LINE_LIMIT), flush=True)
        time.sleep(LOOK_SECONDS)
        engine_client.ensure(settings.home, environ=settings.for_engine())


def _check_server(settings: Settings) -> None:
    """Return when the user's own Temporal server, if there is one, can be used: an engine would wait for it."""
    if settings.temporal:
        from sagaflow_mcp import connection, temporal  # noqa: PLC0415 - half a second that others need not pay

        server = connection.own(settings)
        assert server is not None
        asyncio.run(temporal.connect(settings.home, server))


class Tail:
    """What is added to the log `path` from now on, by a process that empties it when it has become too long."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = self._size()

    def lines(self) -> list[str]:
        """The whole lines added since the last call; none while the log cannot be read."""
        if self._size() < self._position:
            self._position = 0
        try:
            # Opened each time: what a reader keeps in memory is no longer true of a log that was emptied.
            with self._path.open("rb") as file:
                file.seek(self._position)
                whole, end, _ = file.read().rpartition(b"\n")
        except OSError:
            return []
        self._position += len(whole) + len(end)
        return whole.decode("utf-8", errors="replace").split("\n") if end else []

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0
