"""The offline Messages API: a real HTTP server that answers from a script.

In Python: `with OfflineMessagesApi([Rule(match="Greet", reply="hello")]) as api: ... api.environment() ...`

As a process: `python -m sagaflow_mcp.testing.messages_api --script rules.json --log calls.jsonl --port-file port`.
`POST /_offline/release/<name>` releases the replies held under that name; `GET /_offline/requests` lists what came in.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp.testing._calls import Calls, Outcome, Recorded
from sagaflow_mcp.testing._http import Server
from sagaflow_mcp.testing._script import Rule, script

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

__all__ = ["OfflineMessagesApi", "Outcome", "Recorded", "main"]

CLOSE_LIMIT = 5.0
"""Seconds that closing waits for the connections to end."""

POLL_INTERVAL = 0.05
"""Seconds between two looks at whether the server is to close."""

PARENT_INTERVAL = 1.0
"""Seconds between two looks at whether the process that started this one is still there."""


class OfflineMessagesApi:
    """A Messages API on a free port of this machine, from construction until `close`; a context manager."""

    def __init__(self, rules: Sequence[Rule] = (), *, key: str | None = None, log: str | Path | None = None) -> None:
        """Start answering.

        Args:
            rules: the script; without a matching rule the last user text comes back.
            key: the only key that is accepted; None accepts any.
            log: a file to which each request is added as a line of JSON when it comes in and when it ends.
        """
        self._key = key or "offline"
        self._calls = Calls(rules, key=key, log=log)
        self._server = Server(self._calls)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_INTERVAL,), name="offline-messages-api", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_address[1])

    @property
    def base_url(self) -> str:
        """What `ANTHROPIC_BASE_URL` must be to reach this server."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """The environment that leads a client here."""
        return {"ANTHROPIC_BASE_URL": self.base_url, "ANTHROPIC_API_KEY": self._key}

    @property
    def requests(self) -> list[Recorded]:
        """All requests so far, oldest first."""
        return self._calls.requests

    @property
    def connections(self) -> int:
        """How many connections were made so far: fewer than requests where clients use one again."""
        return self._server.accepted

    @property
    def open_connections(self) -> int:
        """How many connections there are now."""
        return self._server.open_connections

    def add(self, *rules: Rule) -> None:
        """Put further rules behind those that are there; the first that matches answers."""
        self._calls.add(rules)

    def replace(self, *rules: Rule) -> None:
        """Answer by these rules alone, none of which is used yet; what was released before is held anew."""
        self._calls.replace(rules)

    def wait_for_requests(self, count: int, seconds: float = 10.0, outcome: Outcome | None = None) -> list[Recorded]:
        """The requests with that outcome (None for any), once there are `count` of them. TimeoutError otherwise."""
        return self._calls.wait_for(count, seconds, outcome)

    def release(self, name: str) -> None:
        """Let go the replies held under `name`, those to come included, until `replace` holds them anew."""
        self._calls.gate(name).set()

    def close(self) -> None:
        """Stop answering, cut what is open, and leave no thread or socket behind. Can be called twice."""
        if self._calls.closing.is_set():
            return
        self._calls.closing.set()
        self._server.shutdown()
        self._thread.join(CLOSE_LIMIT)
        self._server.end_connections(CLOSE_LIMIT)
        self._server.server_close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT, or until the process that started this one is gone; 0 then."""
    parser = argparse.ArgumentParser(prog="python -m sagaflow_mcp.testing.messages_api", description=main.__doc__)
    parser.add_argument("--script", type=Path, help="a JSON list of rules")
    parser.add_argument("--log", type=Path, help="requests are added here, one line of JSON each")
    parser.add_argument("--port-file", type=Path, help="where to write the port once it is open")
    options = parser.parse_args(arguments)
    rules = script(options.script.read_text(encoding="utf-8")) if options.script else []
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with OfflineMessagesApi(rules, log=options.log) as api:
        if options.port_file:
            # A rename: whoever waits for the file never reads half a number.
            draft = options.port_file.with_name(f"{options.port_file.name}.{os.getpid()}")
            draft.write_text(f"{api.port}\n", encoding="utf-8")
            draft.replace(options.port_file)
        parent = os.getppid()
        while not stop.wait(PARENT_INTERVAL) and os.getppid() == parent:
            pass
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
