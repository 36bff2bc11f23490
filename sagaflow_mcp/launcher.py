"""The launcher: what Claude Code starts, and what stays for the whole session.

It answers at once, starts the real server when that is first needed, and again when it has died. Nothing here blocks:
one loop watches the client, the server and the signals.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from sagaflow_mcp import (
    claude_process,
    guard,
    messenger,
    plugin_options,
    processes,
    real_server,
    records,
    relay,
    schedule_files,
    streams,
    supply,
)
from sagaflow_mcp.manifest import Manifest
from sagaflow_mcp.paths import Home

if TYPE_CHECKING:
    from collections.abc import Mapping

STDIN, STDOUT = 0, 1

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

LOOK_SECONDS = 0.2
"""The pause between two looks at a build."""

PROGRESS_SECONDS = (1.0, 2.0)
"""When a call that waits for a build is first told how it goes, and how often from then on."""

FLUSH_SECONDS = 0.1
"""How long a client that has closed its side may take to read the last answers."""

FULL = 16_000_000
"""Bytes on their way to one side beyond which the other one is not read."""

IN_RUN = "this Claude Code works for a Sagaflow run, and a run does not use Sagaflow's tools"
WORKING = (
    "the Sagaflow server ended while it worked on this ({how}). What was launched goes on: look with list_runs before "
    "you launch it again. The next call starts the server anew"
)
STARTING = "the Sagaflow server did not start ({how}). The next call tries again"


class Launcher:
    """One client's launcher.

    Args:
        root: the folder of the plugin.
        environ: its environment, with the plugin's settings applied.
    """

    def __init__(self, root: str, environ: Mapping[str, str]) -> None:
        in_run = bool(environ.get("SAGAFLOW_IN_RUN"))
        known = Manifest.load()
        process = claude_process.of(os.getppid())
        self._environ = {**guard.remembered(environ), claude_process.VARIABLE: process.key if process else ""}
        self._messenger: messenger.Messenger | None = None
        self._relay = relay.Relay(known.without_offers() if in_run else known, IN_RUN if in_run else "")
        self._supply = None if in_run else supply.Supply(root, self._environ)
        self._client = streams.Lines(STDIN)
        self._answers = streams.Outlet(STDOUT, select.PIPE_BUF)
        self._server: real_server.RealServer | None = None
        self._alarm = _alarm()
        self._is_over = False
        self._is_begun = False
        self._is_wanted = False
        self._tell_after = 0.0

    def run(self) -> None:
        """Serve until the client goes or a signal comes; afterwards the real server is gone, and the engine is not."""
        try:
            while not (self._is_over or self._client.ended or self._answers.broken):
                self._turn()
            if self._client.ended:
                self._flush()
        finally:
            if self._server is not None:
                self._server.end()

    def _turn(self) -> None:
        """Wait until something can be read or written or has to be looked after, and take it from there."""
        server = self._server
        readable, writable = {self._alarm}, {STDOUT} if self._answers.size else set()
        if self._answers.size < FULL and (server is None or server.unread_size < FULL):
            readable.add(STDIN)
        if server is not None:
            writable |= server.writable()
            readable |= server.readable() if self._answers.size < FULL else set()
        found = select.select(readable, writable, [], self._patience())
        ready = {*found[0], *found[1]}
        if self._alarm in ready:
            self._is_over = _was_told_to_end(self._alarm)
        if STDOUT in ready:
            self._answers.write()
        if server is not None:
            self._attend(server, ready)  # First, so that no request is given to a server that has just died.
        if STDIN in ready:
            for line in self._client.read():
                self._relay.from_client(line)
        self._provide()
        self._deliver()
        if self._messenger is not None:
            self._messenger.look()
        if not (self._is_begun or self._answers.size or self._relay.modern is None):
            self._begin()

    def _patience(self) -> float | None:
        """How long a turn may wait for something to happen, in seconds; None is for ever."""
        if self._server is None and self._needs_server():
            return LOOK_SECONDS
        return messenger.LOOK_SECONDS if self._messenger is not None else None

    def _needs_server(self) -> bool:
        return self._relay.is_waiting or self._is_wanted

    def _begin(self) -> None:
        """What comes after the first answer, for which nobody is to wait."""
        self._is_begun = True
        if self._supply is not None and not guard.foreign(self._environ):
            self._supply.prepare()
            # As after a reboot. A server that starts brings the engine back as well.
            self._is_wanted = _lacks_engine(self._environ) and not self._supply.wake()

    def _attend(self, server: real_server.RealServer, ready: set[int]) -> None:
        for line in server.attend(ready):
            self._relay.from_server(line)
        if server.is_over():
            for line in server.remaining():
                self._relay.from_server(line)
            how = server.end()
            self._server = None
            self._relay.server_ended((WORKING if self._relay.is_served else STARTING).format(how=how))

    def _provide(self) -> None:
        """Start the server if it is needed and there is one to start."""
        if self._supply is None:
            return
        if self._server is not None or not self._needs_server():
            self._supply.rest()
            return
        foreign = guard.foreign(self._environ, guard.OF_CODE)
        if foreign:
            self._refuse(records.one_line(guard.sentence(foreign[0], guard.FOR_AGENT), records.SENTENCE_LIMIT))
            return
        outcome = self._supply.look()
        if outcome.command:
            self._start(outcome)
        elif outcome.sentence:
            self._refuse(outcome.sentence)
        else:
            self._report(outcome)

    def _start(self, chosen: supply.Outcome) -> None:
        try:
            self._server = real_server.RealServer(chosen.command, self._environ, chosen.holds)
        except OSError as error:
            self._refuse(STARTING.format(how=error))
        else:
            self._relay.server_started()
            # Not before: without a server nothing was launched from here.
            self._messenger = self._messenger or messenger.of(self._environ)
        self._is_wanted = False
        self._tell_after = 0.0

    def _refuse(self, sentence: str) -> None:
        self._relay.refuse(sentence)
        self._is_wanted = False
        self._tell_after = 0.0

    def _report(self, outcome: supply.Outcome) -> None:
        """Tell how the build goes to those who wait and want to know, after a second and then every two."""
        now = time.monotonic()
        if not self._tell_after:
            self._tell_after = now + PROGRESS_SECONDS[0]
        elif now >= self._tell_after:
            self._tell_after = now + PROGRESS_SECONDS[1]
            self._relay.report_progress(outcome.seconds, f"first use: {outcome.step} ({outcome.seconds:.0f} s)")

    def _deliver(self) -> None:
        """Have written what the relay has to say."""
        self._answers.add(self._relay.to_client)
        self._relay.to_client.clear()
        if self._server is not None:
            self._server.tell(self._relay.to_server)
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


def _lacks_engine(environ: Mapping[str, str]) -> bool:
    """Whether there is work for an engine, and none lives. Where one does, a server would find nothing to do."""
    home = Home.from_environment(environ)
    try:
        return schedule_files.needs_engine(home) and not processes.Place(home.engine, "engine").alive()
    except OSError:
        return False


def main() -> NoReturn:
    """Serve for the plugin in the folder that is the one argument."""
    Launcher(os.path.abspath(sys.argv[1]), plugin_options.applied(os.environ)).run()
    os._exit(0)
