"""The launcher: what Claude Code starts, and what stays for the whole session.

It answers at once; the real server behind it is started when that is first needed, and again when it has died. Nothing
here blocks: one loop watches the client, the server and the signals.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from sagaflow_mcp import relay, streams
from sagaflow_mcp.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagaflow_mcp.backing import Backing

STDIN, STDOUT = 0, 1

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

FLUSH_SECONDS = 0.1
"""How long a client that has closed its side may take to read the last answers."""

FULL = 16_000_000
"""Bytes on their way to one side beyond which the other one is not read."""

IN_RUN = "this Claude Code works for a Sagaflow run, and a run does not use Sagaflow's tools"


class Launcher:
    """One client's launcher.

    Args:
        root: the folder of the plugin.
        environ: its environment.
    """

    def __init__(self, root: str, environ: Mapping[str, str]) -> None:
        self._root = root
        self._environ = environ
        self._in_run = bool(environ.get("SAGAFLOW_IN_RUN"))
        known = Manifest.load()
        self._relay = relay.Relay(known.without_offers() if self._in_run else known, IN_RUN if self._in_run else "")
        self._client = streams.Lines(STDIN)
        self._answers = streams.Outlet(STDOUT, select.PIPE_BUF)
        self._backing: Backing | None = None
        self._alarm = _alarm()
        self._is_over = False
        self._is_begun = False

    def run(self) -> None:
        """Serve until the client goes or a signal comes; afterwards the real server is gone, and the engine is not."""
        try:
            while not (self._is_over or self._client.ended or self._answers.broken):
                self._turn()
            if self._client.ended:
                self._flush()
        finally:
            if self._backing is not None:
                self._backing.end()

    def _turn(self) -> None:
        """Wait until something can be read or written or has to be looked after, and take it from there."""
        backing = self._backing
        server = backing.server if backing else None
        readable, writable = {self._alarm}, {STDOUT} if self._answers.size else set()
        if self._answers.size < FULL and (server is None or server.unread_size < FULL):
            readable.add(STDIN)
        if server is not None:
            writable |= server.writable()
            readable |= server.readable() if self._answers.size < FULL else set()
        found = select.select(readable, writable, [], backing.patience() if backing else None)
        ready = {*found[0], *found[1]}
        if self._alarm in ready:
            self._is_over = _was_told_to_end(self._alarm)
        if STDOUT in ready:
            self._answers.write()
        if backing is not None:
            backing.attend(ready)  # First, so that no request is given to a server that has just died.
        if STDIN in ready:
            for line in self._client.read():
                self._relay.from_client(line)
        if self._backing is not None or self._relay.is_waiting:
            self._behind().provide()
        self._deliver()
        # What comes after the first answer, for which nobody is to wait.
        if not (self._in_run or self._is_begun or self._answers.size or self._relay.modern is None):
            self._is_begun = True
            self._behind().begin()

    def _behind(self) -> Backing:
        if self._backing is None:
            # Imported here: it takes almost as long as all that the first answer needs, and a session waits for that.
            from sagaflow_mcp.backing import Backing  # noqa: PLC0415

            self._backing = Backing(self._root, self._environ, self._relay)
        return self._backing

    def _deliver(self) -> None:
        """Have written what the relay has to say."""
        self._answers.add(self._relay.to_client)
        self._relay.to_client.clear()
        if self._backing is not None and self._backing.server is not None:
            self._backing.server.tell(self._relay.to_server)
        self._relay.to_server.clear()

    def _flush(self) -> None:
        deadline = time.monotonic() + FLUSH_SECONDS
        while self._answers.size and (left := deadline - time.monotonic()) > 0:
            if select.select([], [STDOUT], [], left)[1]:
                self._answers.write()


def _alarm() -> int:
    """A descriptor on which each signal that concerns the launcher can be read, as the byte of its number."""
    reader, writer = os.pipe()
    for descriptor in (reader, writer):
        os.set_blocking(descriptor, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (*ENDING, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    return reader


def _was_told_to_end(alarm: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        return any(number in ENDING for number in os.read(alarm, 1000))
    return False


def main() -> NoReturn:
    """Serve for the plugin in the folder that is the one argument."""
    Launcher(os.path.abspath(sys.argv[1]), os.environ).run()
    os._exit(0)
