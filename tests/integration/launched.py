"""A launcher that is spoken to line by line, as a client of either generation of the protocol does."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sagaflow_mcp import wire

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
FRONT = ROOT / "sagaflow_mcp" / "front.sh"
SMALL_SERVER = Path(__file__).parent / "small_server.py"

LIMIT = 30
"""Seconds that anything may take."""

MODERN, LEGACY = "2026-07-28", "2025-11-25"
CAPABILITIES: dict[str, Any] = {"elicitation": {"form": {}}}


def small_server(folder: Path) -> str:
    """The command of the small server."""
    return f"'{sys.executable}' '{SMALL_SERVER}' '{folder}'"


class Launched:
    """A launcher and its client.

    Args:
        version: the protocol that the client speaks.
        environ: the launcher's environment.
        command: what is started.
    """

    def __init__(
        self, version: str, environ: Mapping[str, str], command: tuple[str, ...] = ("sh", str(FRONT)), cwd: Path = ROOT
    ) -> None:
        self.version = version
        self.process = subprocess.Popen(
            command, env=dict(environ), cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.complaints: list[str] = []
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._kept: list[dict[str, Any]] = []
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._hear, self._complain)]
        for thread in self._threads:
            thread.start()

    def _hear(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def _complain(self) -> None:
        assert self.process.stderr is not None
        self.complaints.extend(line.decode("utf-8", "replace") for line in self.process.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join(LIMIT)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    @property
    def is_modern(self) -> bool:
        """Whether each request carries an envelope."""
        return self.version == MODERN

    def send(self, *messages: dict[str, Any] | bytes) -> None:
        """Write a line for each; short ones reach the launcher in one piece."""
        assert self.process.stdin is not None
        for message in messages:
            self.process.stdin.write(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, key: int | str, method: str, meta: dict[str, Any] | None = None, **params: Any) -> None:
        """Send a request."""
        self.send(self._request(key, method, meta, **params))

    def _request(
        self, key: int | str, method: str, meta: dict[str, Any] | None = None, **params: Any
    ) -> dict[str, Any]:
        envelope = {wire.VERSION_KEY: self.version, "io.modelcontextprotocol/clientCapabilities": CAPABILITIES}
        given: dict[str, Any] = {**(envelope if self.is_modern else {}), **(meta or {})}
        # The order in which TypeScript's SDK writes it.
        return {"method": method, "params": {**params, "_meta": given}, "jsonrpc": "2.0", "id": key}

    def call(self, key: int | str, tool: str, meta: dict[str, Any] | None = None, **arguments: Any) -> None:
        """Send a call of a tool."""
        self.ask(key, "tools/call", meta, name=tool, arguments=arguments)

    def call_and_cancel(self, key: int | str, tool: str, **arguments: Any) -> None:
        """Send a call of a tool together with its cancellation: the launcher reads of both before any answer comes."""
        call = self._request(key, "tools/call", name=tool, arguments=arguments)
        self.send(call, {"method": "notifications/cancelled", "params": {"requestId": key}, "jsonrpc": "2.0"})

    def notify(self, method: str, **params: Any) -> None:
        """Send a notification."""
        self.send({"method": method, "params": params, "jsonrpc": "2.0"})

    def next(self, **wanted: Any) -> dict[str, Any]:
        """The next line with these fields; others are kept for later."""
        for index, line in enumerate(self._kept):
            if wanted.items() <= line.items():
                return self._kept.pop(index)
        while (heard := self._lines.get(timeout=LIMIT)) is not None:
            if wanted.items() <= heard.items():
                return heard
            self._kept.append(heard)
        raise AssertionError(f"the launcher ended before it said {wanted}: {self._kept} {self.complaints}")

    def result(self, key: int | str) -> dict[str, Any]:
        """The result of the request `key`."""
        answer = self.next(id=key)
        assert "result" in answer, answer
        found: dict[str, Any] = answer["result"]
        return found

    def said(self, key: int | str) -> str:
        """The text that the call `key` ended with."""
        (content,) = self.result(key)["content"]
        return str(content["text"])

    def begin(self) -> dict[str, Any]:
        """Shake hands; what the launcher says of the server."""
        if self.is_modern:
            self.ask("discover", "server/discover")
            return self.result("discover")
        client = {"name": "test", "version": "1"}
        self.ask(0, "initialize", protocolVersion=self.version, capabilities=CAPABILITIES, clientInfo=client)
        greeting = self.result(0)
        self.notify("notifications/initialized")
        return greeting

    def heard_nothing_else(self) -> bool:
        """Whether all that was said has been looked at. A request that is answered at once comes first."""
        key = "last"
        self.ask(key, "ping")
        self.next(id=key)
        return not self._kept

    def leave(self) -> int:
        """Close the launcher's input; its exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(LIMIT)
