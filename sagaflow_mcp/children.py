"""The engine's children together: the Temporal server first, unless the user has one, then the worker that needs it."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from sagaflow_mcp import own_temporal, processes, temporal_server
from sagaflow_mcp.errors import Failure
from sagaflow_mcp.supervisor import Charge, Sign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.peer import Peer

SERVER_SECONDS = 20.0
"""How long the server may take until it accepts connections."""

WORKER_SECONDS = 60.0
"""How long the worker may take until it polls: it imports for seconds on a busy machine."""

UNCONNECTED_SECONDS = 15.0
"""How long a worker that was ready may be without a connection: it makes a new one at once unless it hangs."""

SILENT_SECONDS = 60.0
"""How long a connected worker may report no state: it does every `worker_link.STATE_SECONDS` unless its loop hangs."""

WAITING_SECONDS = 5.0
"""How long a worker that waits for the user's own server is given to get in: it tries every 2 seconds."""

HELLO_SECONDS = 5.0
"""How long a worker's hello waits for its start to be noted."""

NO_SERVER = {"pid": None, "started_at": None, "restarts": None, "address": "", "namespace": "", "from": ""}
"""What is said of a server of which nothing is known: the same fields whether the engine brings it or the user."""


class Commands(NamedTuple):
    """The programs of the two children, to which the engine adds its arguments; no server means the one installed."""

    server: Sequence[str] = ()
    worker: Sequence[str] = (sys.executable, "-m", "sagaflow_mcp.worker")


class Limits(NamedTuple):
    """How long a worker that was ready may show no life before it is taken to hang."""

    unconnected_seconds: float = UNCONNECTED_SECONDS
    silent_seconds: float = SILENT_SECONDS


class Children:
    """The server and the worker of `home`. `changed` guards and announces their state.

    With another `temporal` than the embedded one, as `own_temporal.label` says it, there is no server to keep.
    """

    def __init__(self, home: Home, commands: Commands, limits: Limits, temporal: str = own_temporal.EMBEDDED) -> None:
        self.changed = threading.Condition()
        self.stop_reason = ""
        self._grace_seconds = processes.GRACE_SECONDS
        self._home = home
        self._commands = commands
        self._limits = limits
        self._temporal = temporal
        self._ports = temporal_server.recorded(home)
        self._peer: Peer | None = None
        self._server = self._server_charge() if temporal == own_temporal.EMBEDDED else None
        self._worker = Charge(
            processes.Place(home.engine, "worker"),
            self.changed,
            self._worker_command,
            ready_seconds=WORKER_SECONDS,
            last_sign=self._worker_sign,
            excuse=self._worker_excuse,
        )

    def _server_charge(self) -> Charge:
        return Charge(
            processes.Place(self._home.engine, "server"),
            self.changed,
            self._server_command,
            ready_seconds=SERVER_SECONDS,
            is_ready=lambda: self._ports is not None and temporal_server.accepts(self._ports),
        )

    @property
    def address(self) -> str:
        """Where the embedded server listens; empty before it was first given a port, and where there is none."""
        return self._ports.address if self._ports and self._server else ""

    def start(self) -> None:
        """Begin to keep them alive."""
        if self._server is not None:
            self._server.start()
        self._worker.start()

    def end(self) -> None:
        """End the worker and then the server; comes back when they are dead."""
        self._worker.stop(self._grace_seconds)
        if self._server is not None:
            self._server.stop()

    def stop(self, reason: str) -> None:
        """Announce that all is to end, for `reason`; the first one counts."""
        with self.changed:
            self.stop_reason = self.stop_reason or reason
            self.changed.notify_all()

    def lose(self, reason: str) -> None:
        """The same where the worker has lost what it runs from: it gets no time to make anything of that."""
        with self.changed:
            self._grace_seconds = 0.0
            self.stop(reason)

    def revive(self) -> None:
        """Try once more what was given up."""
        if self._server is not None:
            self._server.revive()
        self._worker.revive()

    def status(self) -> dict[str, Any]:
        """State, reason, server and worker, as JSON."""
        with self.changed:
            probe = self._peer.state if self._peer else {}
            return {
                "state": self.state(),
                "reason": self.reason(),
                "temporal": self._temporal,
                "server": self._server_status(),
                "worker": {
                    **self._worker.status(),
                    "ready": self._worker.ready,
                    "last_probe": probe.get("last_probe"),
                    "open_runs": probe.get("open_runs"),
                },
            }

    def _server_status(self) -> dict[str, Any]:
        if self._server is not None:
            return {**NO_SERVER, **self._server.status(), "address": self.address, "namespace": "default"}
        return {**NO_SERVER, **((self._peer.state.get("server") or {}) if self._peer else {})}

    def state(self) -> str:
        """One of `starting`, `waiting` (for the user's own server), `running`, `failed`, `stopping`."""
        if self.stop_reason:
            return "stopping"
        if (self._server is not None and self._server.failed) or self._worker.failed:
            return "failed"
        if self._server_ready() and self._worker.ready and self._peer:
            return "running"
        return "waiting" if self._worker_excuse() else "starting"

    def reason(self) -> str:
        """Why the state is not `running`, as far as that is known; else empty."""
        trouble = str(self._peer.state.get("trouble") or "") if self._peer else ""
        reasons = (self.stop_reason, self._server.reason if self._server else "", trouble, self._worker.reason)
        return next((reason for reason in reasons if reason), "")

    def running_peer(self, deadline: float) -> Peer:
        """The worker when all is running; Failure if that is not so at `deadline`, by the monotonic clock."""
        with self.changed:
            limit = max(deadline - time.monotonic(), 0)
            self.changed.wait_for(lambda: self.state() != "starting", limit)
            if self.state() == "waiting":
                limit = min(WAITING_SECONDS, max(deadline - time.monotonic(), 0))
                self.changed.wait_for(lambda: self.state() not in {"starting", "waiting"}, limit)
            if self.state() == "running" and self._peer is not None:
                return self._peer
            reason = self.reason() or "nothing is known about why"
            if self.state() == "starting":
                late = "worker" if self._server_ready() else "server"
                reason = f"the {late} is not ready yet ({reason})"
            raise Failure(f"{reason}; see `sagaflow engine logs`")

    def wait_without(self, peer: Peer, deadline: float) -> None:
        """Wait until `peer`, which is gone, is no longer taken for the worker, at most until `deadline`."""
        with self.changed:
            self.changed.wait_for(lambda: self._peer is not peer, max(deadline - time.monotonic(), 0))

    def knows(self, pid: object) -> bool:
        """Whether `pid` is the living worker's; waits a little, since its hello may overtake the note of its start."""
        with self.changed:
            self.changed.wait_for(self._worker.is_noted, HELLO_SECONDS)
            return self._worker.child is not None and self._worker.child.pid == pid

    def serve(self, peer: Peer) -> None:
        """Take `peer` for the worker until it is gone. OSError or ValueError if the connection breaks."""
        with self.changed:
            self._peer = peer
            self.changed.notify_all()
        try:
            peer.serve(lambda closer: self._worker.announce(closer=closer))
        finally:
            with self.changed:
                self._peer = None if self._peer is peer else self._peer
                self.changed.notify_all()

    def renew_worker(self, reason: str) -> None:
        """Have the worker ended and started again, for `reason`."""
        self._worker.renew(reason)

    def _server_command(self) -> list[str] | None:
        program = self._commands.server or [temporal_server.binary()]
        before, self._ports = self._ports, temporal_server.choose(self._home)
        if before is not None and before != self._ports:
            self.renew_worker(f"the server moved to {self.address}")
        return temporal_server.command(program, self._home, self._ports)

    def _worker_command(self) -> list[str] | None:
        with self.changed:
            self.changed.wait_for(lambda: self._server_ready() or self.stop_reason)
            if self.stop_reason:
                return None
        # Without an address the worker finds it, and what else it needs to get in, in the home's config.toml.
        where = ["--address", self.address] if self._server else []
        return [*self._commands.worker, "--home", self._home.root, *where]

    def _server_ready(self) -> bool:
        return self._server is None or self._server.ready

    def _worker_excuse(self) -> object:
        """The latest report of a worker that is not ready because it waits for its server; None when there is none."""
        waits = self._peer is not None and not self._worker.ready and self._peer.state.get("trouble")
        return self._peer.state if self._peer is not None and waits else None

    def _worker_sign(self) -> Sign:
        if self._peer is None:
            return Sign(None, self._limits.unconnected_seconds, "it was not connected")
        return Sign(self._peer.state, self._limits.silent_seconds, "it reported no state")
