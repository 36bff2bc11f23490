"""The engine: one process per home that owns the worker, and the embedded Temporal server where the user has none.

`python -m sagaflow_mcp.engine HOME` runs it; `engine_client` starts it detached and talks to it.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from sagaflow_mcp import __version__, control, environments, own_temporal, processes
from sagaflow_mcp.children import Children, Commands, Limits
from sagaflow_mcp.paths import Home, clear_drafts, write_atomically
from sagaflow_mcp.processes import note
from sagaflow_mcp.service import Service

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

HOUSEKEEPING_SECONDS = 60.0
"""The longest pause between two looks at open runs and log sizes."""

ENVIRONMENT_SECONDS = 1.0
"""The pause between two looks at whether the plugin's environment that the engine runs in is still there."""

LOST = (
    "the environment that it runs from was removed, as by uninstalling the plugin; "
    "open runs go on once Sagaflow is installed again"
)


class Engine:
    """The engine of `home`, which stops after `idle_seconds` with no open run and no request."""

    def __init__(
        self,
        home: Home,
        commands: Commands | None = None,
        idle_seconds: float = math.inf,
        limits: Limits | None = None,
        temporal: str = own_temporal.EMBEDDED,
    ) -> None:
        self._home = home
        self._idle_seconds = idle_seconds
        self._children = Children(home, commands or Commands(), limits or Limits(), temporal)
        self._service = Service(home, self._children, self.stop)
        self._environment = environments.own()
        self._wake_reader, self._wake_writer = os.pipe()
        self._ended = False

    def run(self) -> int:
        """The exit code: 0 after a stop, or at once when another engine serves the home. OSError if it cannot serve."""
        place = processes.Place(self._home.engine, "engine")
        lock = processes.acquire(place.lock)
        if lock is None:
            return 0
        try:
            write_atomically(place.pid_file, f"{os.getpid()}\n")
            write_atomically(place._replace(name="keeper").pid_file, f"{processes.keeper() or ''}\n")
            self._heed_signals()
            with control.listen(self._home) as listener:
                note(f"engine {os.getpid()} of version {__version__} serves {self._home.root!r}")
                self._children.start()
                # Beside the start, which is not to wait for a walk through all runs.
                threading.Thread(target=clear_drafts, args=(self._home,), name="drafts", daemon=True).start()
                self._serve_until_stopped(listener)
                note(f"stopping: {self._children.stop_reason}")
                self._end_while_answering(listener)
        finally:
            os.close(lock)
        return 0

    def stop(self, reason: str) -> None:
        """Begin to stop everything, for `reason`."""
        self._children.stop(reason)
        os.write(self._wake_writer, b"x")

    def _heed_signals(self) -> None:
        os.set_blocking(self._wake_writer, False)
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            # The byte that Python writes to the pipe is what counts: a handler must not wait for a lock.
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _serve_until_stopped(self, listener: socket.socket) -> None:
        while not self._children.stop_reason:
            self._accept(listener, self._seconds_to_next_look())
            self._rotate_logs()
            self._service.close_if_idle(self._idle_seconds)
            if environments.is_lost(self._environment):
                self._children.lose(LOST)

    def _accept(self, listener: socket.socket, seconds: float) -> None:
        watched: list[socket.socket | int] = [listener, self._wake_reader]
        readable, _, _ = select.select(watched, [], [], seconds)
        if self._wake_reader in readable:
            os.read(self._wake_reader, 64)
            self._children.stop("told to by a signal")
        if listener in readable:
            threading.Thread(target=self._service.serve, args=(listener.accept()[0],), daemon=True).start()

    def _end_while_answering(self, listener: socket.socket) -> None:
        threading.Thread(target=self._end, name="end").start()
        while not self._ended:
            self._accept(listener, HOUSEKEEPING_SECONDS)

    def _end(self) -> None:
        try:
            self._children.end()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(control.path(self._home))
            note("stopped")
        finally:
            self._ended = True
            os.write(self._wake_writer, b"x")

    def _seconds_to_next_look(self) -> float:
        due = self._service.touched + self._idle_seconds - time.monotonic()
        return min(max(due, 0.05), ENVIRONMENT_SECONDS if self._environment else HOUSEKEEPING_SECONDS)

    def _rotate_logs(self) -> None:
        for name in ("engine", "server", "worker"):
            with contextlib.suppress(OSError):  # A full disk: the log goes on where it is.
                processes.rotate(processes.Place(self._home.engine, name).log)


def idle_seconds(text: str) -> float:
    """The seconds in `SAGAFLOW_IDLE_SECONDS`, which whoever starts an engine has from its settings.

    Without one the engine stays up until it is told to stop.
    """
    return float(text or math.inf)


def main(arguments: Sequence[str]) -> int:
    """The exit code of the engine for the home that is the one argument."""
    os.umask(0o077)
    environments.hold_own()  # For as long as it runs: a later version of the plugin removes what nobody holds.
    return Engine(
        Home(arguments[0]),
        idle_seconds=idle_seconds(os.environ.get("SAGAFLOW_IDLE_SECONDS", "")),
        temporal=os.environ.get(own_temporal.VARIABLE) or own_temporal.EMBEDDED,
    ).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
