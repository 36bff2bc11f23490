"""The offline model's HTTP: connections, and what goes out over them."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import socketserver
import sys
import threading
import time
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler
from itertools import islice
from typing import TYPE_CHECKING, Any

from sagaflow_mcp.models import _tools_in_text
from sagaflow_mcp.testing import _script, _wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagaflow_mcp.testing._calls import Calls, Outcome, Recorded
    from sagaflow_mcp.testing._script import Body, Error, Rule

LONGEST_HOLD = 600.0
"""Seconds after which a held reply goes out even if nobody released it."""

LOOK_INTERVAL = 0.05
"""Seconds between two looks at whether a waiting client is still there."""

PING_INTERVAL = 1.0
"""Seconds between the pings of a stream that waits."""

IDLE_LIMIT = 120.0
"""Seconds that a connection may say nothing."""

LARGEST_BODY = 64 * 1024 * 1024
"""Bytes of a request that are read."""


class _Gone(Exception):  # noqa: N818 - not an error: clients come and go
    """Nobody is there any more to answer to."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A thread per connection. Not `ThreadingHTTPServer`, which looks its own name up at start."""

    daemon_threads = True
    request_queue_size = 128  # The default of 5 drops some of 20 clients that come at once.

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.accepted = 0
        """How many connections were made so far."""
        self._connections: set[socket.socket] = set()
        self._fewer = threading.Condition()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note the connection, then serve it in a thread."""
        with self._fewer:
            self.accepted += 1
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close the connection, then forget it."""
        super().shutdown_request(request)
        with self._fewer:
            self._connections.discard(request)
            self._fewer.notify_all()

    @property
    def open_connections(self) -> int:
        """How many connections there are now."""
        with self._fewer:
            return len(self._connections)

    def end_connections(self, seconds: float) -> None:
        """Cut every connection; returns when their threads are through with them, at the latest after `seconds`."""
        with self._fewer:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._fewer.wait_for(lambda: not self._connections, timeout=seconds)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Only what is not a client that cut its connection, which is what some tests are about."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = IDLE_LIMIT
    disable_nagle_algorithm = True
    _entry: Recorded | None = None
    """The model call being answered; None for other requests on the same connection."""
    _status = 0

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: requests are recorded, not printed."""

    def do_GET(self) -> None:
        """Answer what is asked from outside about the requests."""
        self._entry = None
        if self.path == "/_offline/requests":
            self._send(200, [asdict(each) for each in self.server.calls.requests])
        elif self.path.partition("?")[0] == "/v1/models":
            self._list_models()
        else:
            self._send(404, _wire.error("not_found_error", f"no such path: {self.path}"))

    def _list_models(self) -> None:
        """Say which models there are, of which none is told apart, to whoever has the key."""
        if self.server.calls.admits({name.lower(): value for name, value in self.headers.items()}):
            self._send(200, {"data": [], "has_more": False, "first_id": None, "last_id": None})
        else:
            self._send(401, _wire.error("authentication_error", "invalid x-api-key"))

    def do_POST(self) -> None:
        """Answer a model call, or release a gate."""
        self._entry = None
        length = self.headers.get("content-length", "")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            self.close_connection = True  # The body stays unread, so nothing after it can be understood.
            self._send(413, _wire.error("request_too_large", "a content-length of at most 64 MiB is required"))
            return
        raw = self.rfile.read(int(length))
        path = self.path.partition("?")[0]
        if path.startswith("/_offline/release/"):
            self.server.calls.gate(path.rpartition("/")[2]).set()
            self._send(200, {})
        elif path == "/v1/messages":
            self._model_call(path, raw)
        else:
            self._send(404, _wire.error("not_found_error", f"no such path: {path}"))

    def _model_call(self, path: str, raw: bytes) -> None:
        """Record a model call and answer it."""
        calls = self.server.calls
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            body = json.loads(raw)
        except ValueError:
            body = raw[:2000].decode("utf-8", "replace")
        self._entry = calls.record(path, headers, body)
        try:
            if not calls.admits(headers):
                self._send(401, _wire.error("authentication_error", "invalid x-api-key"))
            elif reason := _wire.complaint(body):
                self._send(400, _wire.error("invalid_request_error", reason))
            else:
                self._answer(body)
        except _Gone as gone:
            self._end(gone.outcome)
        except OSError:
            self._end("server closed" if calls.closing.is_set() else "client went away")

    def _end(self, outcome: Outcome) -> None:
        """Record how the call ended: before the last piece of a reply, so that whoever has the reply finds it so."""
        self.close_connection = self.close_connection or outcome != "answered"
        if self._entry:
            self.server.calls.end(self._entry, outcome, self._status)

    def _answer(self, body: Body) -> None:
        """Answer `body` as its rule says."""
        try:
            rule, text = self.server.calls.answer(body)
        except Exception as error:  # noqa: BLE001 - a reply function is the test author's: its bug must show there
            self._send(400, _wire.error("invalid_request_error", f"the script's reply function raised {error!r}"))
            return
        tools = rule.tools
        if mark := _tools_in_text.told_in(_script.text_of(body.get("system"))):
            text, tools = (
                "\n".join([text, *(_tools_in_text.written(each.name, each.input, mark) for each in tools)]),
                (),
            )
        whole = _wire.message(body, text, tools, stop_reason=rule.stop_reason, usage=rule.usage)
        if body.get("stream") and not (rule.error and not rule.error.midway):
            self._stream(rule, whole)
            return
        self._wait(rule)
        if rule.error:
            self._refuse(rule.error)
        elif rule.drop:
            self._cut()
        else:
            self._send(200, whole)

    def _refuse(self, error: Error) -> None:
        extra = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
        self._send(error.status, _wire.error(error.type, error.message), extra)

    def _stream(self, rule: Rule, whole: Mapping[str, Any]) -> None:
        """Stream `whole`: begin at once, ping while held, and break off half-way where the rule says so."""
        self._head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
        self._chunk(_wire.encoded(_wire.opening(whole)))
        self._wait(rule, pings=True)
        *rest, last = _wire.events(whole)
        breaks = rule.error is not None or rule.drop
        for event in islice(rest, len(rest) // 2 if breaks else None):
            self._chunk(_wire.encoded(event))
        if rule.drop:
            self._cut()
            return
        self._end("answered")
        self._chunk(_wire.encoded(_wire.error(rule.error.type, rule.error.message) if rule.error else last))
        self._chunk(b"")

    def _wait(self, rule: Rule, *, pings: bool = False) -> None:
        """Wait for the rule's delay, then for its gate. _Gone when there is nobody left to answer to."""
        if rule.delay_seconds:
            self._pause(threading.Event(), min(rule.delay_seconds, LONGEST_HOLD), pings=pings)
        if rule.hold:
            self._pause(self.server.calls.gate(rule.hold), LONGEST_HOLD, pings=pings)

    def _pause(self, until: threading.Event, seconds: float, *, pings: bool) -> None:
        now = time.monotonic()
        deadline, next_ping = now + seconds, now
        while now < deadline and not until.wait(min(LOOK_INTERVAL, deadline - now)):
            if self.server.calls.closing.is_set():
                raise _Gone("server closed")
            if self._client_is_gone():
                raise _Gone("client went away")
            now = time.monotonic()
            if pings and now >= next_ping:
                self._chunk(_wire.encoded({"type": "ping"}))
                next_ping = now + PING_INTERVAL

    def _client_is_gone(self) -> bool:
        """Whether the client has closed its end; it sends nothing else while it waits."""
        watch = select.poll()  # Not select.select, which fails beyond 1,024 descriptors.
        watch.register(self.connection, select.POLLIN)
        return bool(watch.poll(0)) and self.connection.recv(1, socket.MSG_PEEK) == b""

    def _send(self, status: int, value: object, extra: Mapping[str, str] | None = None) -> None:
        content = json.dumps(value).encode()
        self._head(status, {"content-type": "application/json", "content-length": str(len(content)), **(extra or {})})
        self._end("answered")
        self.wfile.write(content)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self._status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _chunk(self, content: bytes) -> None:
        """Send one chunk; an empty one ends the reply."""
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")

    def _cut(self) -> None:
        self._end("answered")
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)
