"""Who is told what: the launcher's decisions about each line of the client and of the server. No input or output here.

The client is answered from the manifest where that is enough. What needs the server waits until there is one, and is
answered with an error when the server dies. A server that is started again finds what the one before had been told.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import manifest, wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagaflow_mcp.manifest import Manifest
    from sagaflow_mcp.wire import Line

LISTEN = "subscriptions/listen"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
CANCELLED = "notifications/cancelled"

DOWN, GREETING, UP = "down", "greeting", "up"
"""No server; one that was started and has not said anything yet; one that answers."""

HANDSHAKE_ID = "launcher:initialize"
"""The id of the `initialize` that is repeated to each server; its answer is not for the client."""

_HANDSHAKE_KEY = json.dumps(HANDSHAKE_ID)


class Relay:
    """Between one client and one server after the other.

    Args:
        known: what is answered without a server.
        closed: answers everything that would need a server, where there is to be none; empty otherwise.
    """

    def __init__(self, known: Manifest, closed: str = "") -> None:
        self.to_client: list[bytes] = []
        """Lines to be written to the client. Whoever writes them takes them out."""
        self.to_server: list[bytes] = []
        """Lines to be written to the server."""
        self.modern: bool | None = None
        """Whether the client sends an envelope with each request; None before its first one."""
        self._known = known
        self._closed = closed
        self._link = DOWN
        self._servers = 0
        self._initialize: Mapping[str, Any] | None = None
        self._waiting: dict[str, Line] = {}
        self._in_flight: dict[str, str] = {}
        """The methods of what the server is working on and the client waits for."""
        self._listens: dict[str, bytes] = {}
        self._questions: dict[str, Any] = {}
        """What the server has asked the client: its own id by the one that the client knows."""

    @property
    def is_waiting(self) -> bool:
        """Whether something needs a server that is not there."""
        return self._link == DOWN and bool(self._waiting)

    @property
    def is_served(self) -> bool:
        """Whether the server has shown that it is up."""
        return self._link == UP

    def from_client(self, raw: bytes) -> None:
        """Take one line of the client's."""
        try:
            line = wire.read_strictly(raw)
        except wire.NotAMessageError as refused:
            self._refused(refused)
            return
        if line.is_request:
            self._asked(line)
        elif line.method:
            self._notified(line)
        elif line.key in self._questions:
            own = self._questions.pop(line.key)
            self.to_server.append(raw if json.dumps(own) == line.key else wire.with_id(line.body, own))

    def from_server(self, raw: bytes) -> None:
        """Take one line of the server's; what is none, or belongs to nothing that is open, is dropped."""
        try:
            line = wire.read(raw)
        except wire.NotAMessageError:
            return
        if line.key == _HANDSHAKE_KEY and not line.method:
            self.to_server.append(wire.notification("notifications/initialized", {}))
            self._serve_waiting()
            self._link = UP
            return
        if self.modern:
            self._link = UP
        if line.is_request:
            self._question(line)
        elif line.method:
            self._announced(line)
        elif self._listens.pop(line.key, None) is not None or self._in_flight.pop(line.key, None) is not None:
            self.to_client.append(raw)

    def server_started(self) -> None:
        """Tell a server that has just been started all that it has to know, and give it what waits."""
        self._servers += 1
        self._link = GREETING
        if self._initialize is not None:
            self.to_server.append(wire.with_id(self._initialize, HANDSHAKE_ID))
            return
        self.to_server.extend(self._listens.values())
        self._serve_waiting()

    def server_ended(self, sentence: str) -> None:
        """Answer with `sentence` what the server was working on, or was started for, and take back its questions."""
        for key, method in self._in_flight.items():
            self._fail(key, method, sentence)
        for key in self._questions:
            told = {"requestId": json.loads(key), "reason": "the server that asked has ended"}
            self.to_client.append(wire.notification(CANCELLED, told))
        self._link = DOWN
        self.to_server.clear()
        self._in_flight.clear()
        self._questions.clear()
        self.refuse(sentence)

    def refuse(self, sentence: str) -> None:
        """Answer with `sentence` all that waits for a server."""
        for key, line in self._waiting.items():
            self._fail(key, line.method, sentence)
        self._waiting.clear()

    def report_progress(self, amount: float, sentence: str) -> None:
        """Tell `sentence` to those who wait for a server and asked for progress; `amount` grows from call to call."""
        for line in self._waiting.values():
            token = line.meta.get("progressToken")
            if token is not None:
                told = {"progressToken": token, "progress": amount, "message": sentence}
                self.to_client.append(wire.notification("notifications/progress", told))

    def _refused(self, refused: wire.NotAMessageError) -> None:
        line = refused.line
        if line is None or line.is_request:
            self.to_client.append(wire.error(line.key if line else "", refused.code, str(refused)))
        elif not line.method and line.key in self._questions:
            # The server waits for this answer.
            own = json.dumps(self._questions.pop(line.key))
            self.to_server.append(wire.error(own, refused.code, str(refused)))

    def _asked(self, line: Line) -> None:
        if line.method == "initialize" and self._link == DOWN:
            self.modern = False  # Also when it comes after a look around with an envelope.
        elif self.modern is None:
            self.modern = wire.VERSION_KEY in line.meta
        if line.method == "initialize" and not self.modern:
            self._initialize = line.body
            self.to_client.append(wire.result(line.key, self._known.greeting(line.params.get("protocolVersion"))))
        elif self._is_known(line):
            self._answer(line)
        else:
            self._pass_on(line)

    def _is_known(self, line: Line) -> bool:
        """Whether the launcher answers `line` itself. Lists come from the server once it has shown that it is up."""
        if line.method in manifest.LISTS:
            return self._link != UP and line.params.get("cursor") is None
        return line.method in {"ping", "server/discover"} or (bool(self.modern) and line.method == LISTEN)

    def _answer(self, line: Line) -> None:
        version = line.meta.get(wire.VERSION_KEY)
        known = self._known.modern if self.modern else self._known.legacy
        if self.modern and version not in self._known.modern_versions:
            told = {"supported": self._known.modern_versions, "requested": version}
            self.to_client.append(wire.error(line.key, wire.UNSUPPORTED_VERSION, "Unsupported protocol version", told))
        elif line.method == LISTEN:
            self._listen(line)
        elif line.method == "ping" and not self.modern:
            self.to_client.append(wire.result(line.key, {}))
        elif line.method in known:
            self.to_client.append(wire.result(line.key, known[line.method]))
        else:
            self.to_client.append(wire.error(line.key, wire.METHOD_NOT_FOUND, "Method not found", line.method))

    def _listen(self, line: Line) -> None:
        """Acknowledge at once; what the server acknowledges later, and again after a restart, is not passed on."""
        wanted = line.params.get("notifications")
        told = {"_meta": {wire.SUBSCRIPTION_KEY: json.loads(line.key)}, "notifications": wanted or {}}
        self.to_client.append(wire.notification(ACKNOWLEDGED, told))
        self._listens[line.key] = line.raw
        if self._link != DOWN:
            self.to_server.append(line.raw)

    def _pass_on(self, line: Line) -> None:
        if self._closed:
            self._fail(line.key, line.method, self._closed)
        elif self._takes_lines:
            self._in_flight[line.key] = line.method
            self.to_server.append(line.raw)
        else:
            self._waiting[line.key] = line

    @property
    def _takes_lines(self) -> bool:
        """Whether the server can be given lines: before the end of a handshake it refuses them."""
        return self._link == UP or (self._link == GREETING and self._initialize is None)

    def _serve_waiting(self) -> None:
        for key, line in self._waiting.items():
            self._in_flight[key] = line.method
            self.to_server.append(line.raw)
        self._waiting.clear()

    def _notified(self, line: Line) -> None:
        if line.method == "notifications/initialized":
            return  # Each server is told when it has been greeted.
        if line.method == CANCELLED:
            key = json.dumps(line.params.get("requestId"))
            if self._waiting.pop(key, None) is not None:
                return
            self._listens.pop(key, None)
            # The server may have answered before it reads of this: nobody waits for that answer either.
            self._in_flight.pop(key, None)
        if self._takes_lines:
            self.to_server.append(line.raw)

    def _announced(self, line: Line) -> None:
        if line.method == ACKNOWLEDGED:
            return
        if line.method == CANCELLED:
            key = json.dumps(self._alias(line.params.get("requestId")))
            if self._questions.pop(key, None) is not None:
                told = {**line.params, "requestId": json.loads(key)}
                self.to_client.append(wire.notification(CANCELLED, told))
            return
        self.to_client.append(line.raw)

    def _question(self, line: Line) -> None:
        """Pass on what the server asks the client. Each server counts from 1: a later one's ids are made distinct."""
        own = json.loads(line.key)
        alias = self._alias(own)
        self._questions[json.dumps(alias)] = own
        self.to_client.append(line.raw if alias == own else wire.with_id(line.body, alias))

    def _alias(self, own: Any) -> Any:
        return own if self._servers == 1 else f"g{self._servers}:{own}"

    def _fail(self, key: str, method: str, sentence: str) -> None:
        if method == "tools/call":
            self.to_client.append(wire.failed_call(key, sentence, modern=bool(self.modern)))
        else:
            self.to_client.append(wire.error(key, wire.INTERNAL_ERROR, sentence))
