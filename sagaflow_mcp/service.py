"""What the engine answers on its control socket."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import __version__, control, credentials, markers, processes, records, schedule_files
from sagaflow_mcp.errors import Failure
from sagaflow_mcp.peer import Peer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from sagaflow_mcp.children import Children
    from sagaflow_mcp.paths import Home

READY_SECONDS = 30.0
"""How long a `ready` request may take."""

SILENCE_SECONDS = 60.0
"""How long a connection may be silent; the worker's may be for ever."""

MOST_CONNECTIONS = 200
"""More connections at once than this are refused."""

STARTER_SECONDS = 1.0
"""How long an engine stays up at least, because whoever started it is about to ask it something. With a very short idle
time it would otherwise stop before that, and the next one too."""


class Service:
    """The requests to the engine of `home`, each connection in a thread of its own. `stop` is called to stop it all."""

    def __init__(self, home: Home, children: Children, stop: Callable[[str], None]) -> None:
        self._home = home
        self._children = children
        self._changed = children.changed
        self._stop = stop
        self._started_at = records.moment(time.time())
        self._credentials = credentials.Credentials(at_start=credentials.found_in(os.environ))
        self._pending = 0
        self._connections = 0
        self.touched = time.monotonic() + STARTER_SECONDS

    def close_if_idle(self, idle_seconds: float) -> None:
        """Take no more requests if there were none, and no open run and no schedule, for `idle_seconds`."""
        busy = schedule_files.needs_engine(self._home)
        with self._changed:
            if busy or self._pending:
                self.touched = max(self.touched, time.monotonic())
            elif time.monotonic() - self.touched >= idle_seconds:
                self._children.stop(f"idle for {idle_seconds:g} s")

    def serve(self, connection: socket.socket) -> None:
        """Answer the requests of `connection` until it ends. Never raises for what the other side does."""
        with self._changed:
            self._connections += 1
            full = self._connections > MOST_CONNECTIONS
        try:
            with contextlib.closing(control.Channel(connection)) as channel:
                channel.patience(SILENCE_SECONDS)
                if full:
                    channel.send(_refusal("the engine has too many connections; try again"))
                else:
                    self._converse(channel)
        except OSError:
            pass  # The other side is gone: nobody is left to be told.
        finally:
            with self._changed:
                self._connections -= 1

    def _converse(self, channel: control.Channel) -> None:
        try:
            while (message := channel.receive()) is not None:
                if message.get("op") == "worker":
                    self._serve_worker(channel, message)
                    return
                channel.send(self._answer(message))
        except ValueError as error:
            channel.send(_refusal(f"the request cannot be read: {error}"))

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        operation = message.get("op")
        if operation == "status":
            return self._status()
        if operation == "stop":
            self._stop(records.one_line(str(message.get("reason") or "asked to")))
            return {"ok": True}
        if operation == "ready":
            return self._ready(message)
        return _refusal(f"the request {str(operation)[:40]!r} is not known; known are status, stop, ready and worker")

    def _status(self) -> dict[str, Any]:
        with self._changed:
            return {
                "ok": True,
                "pid": os.getpid(),
                "keeper": processes.keeper(),
                "version": __version__,
                "started_at": self._started_at,
                "credentials": bool(self._credentials.of("")),
                **self._children.status(),
            }

    def _ready(self, message: dict[str, Any]) -> dict[str, Any]:
        with self._changed:
            if self._children.stop_reason:
                return {**_refusal("the engine is stopping"), "retry": True}
            self._pending += 1
        try:
            self._prepare(message, time.monotonic() + READY_SECONDS)
        except Failure as error:
            return {**_refusal(str(error)), "retry": bool(self._children.stop_reason)}
        finally:
            with self._changed:
                self._pending -= 1
                self.touched = max(self.touched, time.monotonic())
        return {"ok": True, "address": self._children.address}

    def _prepare(self, message: dict[str, Any], deadline: float) -> None:
        """Have a worker that holds the request's credentials and runs its skill. Failure if there is none in time."""
        requests = self._to_forward(message)
        self._children.revive()
        while True:
            peer = self._children.running_peer(deadline)
            try:
                for request in requests:
                    peer.ask(request, deadline - time.monotonic())
            except ConnectionError:
                self._children.wait_without(peer, deadline)  # Its successor is asked instead.
            else:
                return

    def _to_forward(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        run_id, values = message.get("run_id") or "", credentials.checked(message.get("credentials") or {})
        if not isinstance(run_id, str) or (run_id and not records.is_run_id(run_id)):
            raise ValueError("run_id must be 1 to 100 of a-z, 0-9, '.', '_' and '-'")
        with self._changed:
            self._credentials.prune(markers.run_ids(self._home))
            self._credentials.remember(run_id, values)
        requests: list[dict[str, Any]] = []
        if values:
            requests.append({"do": "credentials", "run_id": run_id, "values": values})
        if message.get("name"):
            requests.append({"do": "run_skill", "name": message["name"], "digest": message.get("digest")})
        return requests

    def _serve_worker(self, channel: control.Channel, hello: dict[str, Any]) -> None:
        pid = hello.get("pid")
        if not self._children.knows(pid):
            channel.send(_refusal(f"{pid!r} is not the pid of this engine's worker"))
            return
        with self._changed:
            self._credentials.merge(hello.get("credentials") or {})
            self._credentials.prune(markers.run_ids(self._home))
            known = self._credentials.export()
        channel.patience(None)
        channel.send({"ok": True, "credentials": known})
        if hello.get("version", __version__) != __version__:
            self._children.renew_worker(f"it is of version {hello.get('version')!r}")
        self._children.serve(Peer(channel, self._changed))


def _refusal(sentence: str) -> dict[str, Any]:
    return {"ok": False, "error": sentence}
