"""Programs that stand in for the engine's: a real engine with other children, a worker and a server that do little.

stand_in.py engine KIND_OF_WORKER KIND_OF_SERVER HOME
stand_in.py worker KIND --home HOME --address ADDRESS
stand_in.py server KIND start-dev … --port PORT …
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

from sagaflow_mcp import children, control, engine, worker_link
from sagaflow_mcp.credentials import Credentials
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.paths import Home

HANGING = ("gone", "silent")
"""Workers of which the first in a home hangs, without its connection or with it, once it was ready."""


def program(worker: str = "good", server: str = "good") -> list[str]:
    """An engine with such children: `good` or `crash`, a server also `real`, a worker also one of `HANGING`."""
    return [sys.executable, __file__, "engine", worker, server]


def run_engine(worker: str, server: str, home: str) -> int:
    """Run an engine; its exit code."""
    commands = children.Commands(
        worker=[sys.executable, __file__, "worker", worker],
        server=[] if server == "real" else [sys.executable, __file__, "server", server],
    )
    idle = engine.idle_seconds(os.environ.get("SAGAFLOW_IDLE_SECONDS", ""))
    limits = children.Limits(1.0, 1.0) if worker in HANGING else None
    return engine.Engine(Home(home), commands, idle, limits).run()


class Worker:
    """A worker that writes down what it is asked, together with the credentials it has at that time."""

    closer = False

    def __init__(self, home: Home) -> None:
        self.credentials = Credentials()
        self._home = home
        self.stopped = asyncio.Event()

    async def run_skill(self, name: str, digest: str) -> None:
        """Have what was asked written down; a Refusal for the skill `broken`."""
        if name == "broken":
            raise Refusal("skill 'broken' is broken")
        self._write_down(name, digest)

    def _write_down(self, name: str, digest: str) -> None:
        asked = {"pid": os.getpid(), "name": name, "credentials": self.credentials.export()}
        Path(self._home.root, f"asked-{digest}.json").write_text(json.dumps(asked), encoding="utf-8")

    def remember(self, run_id: str, values: dict[str, str]) -> None:
        """Keep credentials."""
        self.credentials.remember(run_id, values)

    def stop(self) -> None:
        """End."""
        self.stopped.set()

    def state(self) -> dict[str, Any]:
        """No run and a time."""
        return {"open_runs": 0, "last_probe": "2026-01-01T00:00:00Z"}


async def run_worker(home: Home, state_seconds: float) -> None:
    """Serve the engine until SIGTERM."""
    worker = Worker(home)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, worker.stop)
    link = asyncio.create_task(
        worker_link.serve(home, worker, worker.credentials, program=program(server="real"), state_seconds=state_seconds)
    )
    await worker.stopped.wait()
    link.cancel()


def hang(home: Home, kind: str) -> None:
    """Become ready, and then do nothing until killed; SIGTERM is not enough. Only for the first that calls it."""
    try:
        Path(home.root, "hung").touch(exist_ok=False)
    except FileExistsError:
        return
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with control.connect(home, 5.0) as connection, connection.makefile("rb") as answers:
        connection.sendall(json.dumps({"op": "worker", "pid": os.getpid()}).encode() + b"\n")
        answers.readline()
        connection.sendall(b'{"event": "ready"}\n')
        if kind == "silent":
            pause_for_ever()
    pause_for_ever()


def pause_for_ever() -> NoReturn:
    """Wait for signals."""
    while True:
        signal.pause()


def run_server(port: int) -> None:
    """Accept connections until killed."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            listener.accept()[0].close()


def main(arguments: list[str]) -> int:
    """Play the role that is the first argument."""
    role, kind, *rest = arguments
    if role == "engine":
        return run_engine(kind, *rest)
    if kind == "crash":
        sys.exit(f"\x1b[31mthe {role} cannot go on")
    if role == "worker":
        home = Home(rest[rest.index("--home") + 1])
        if kind in HANGING:
            hang(home, kind)
        asyncio.run(run_worker(home, 0.1 if kind in HANGING else worker_link.STATE_SECONDS))
    else:
        run_server(int(rest[rest.index("--port") + 1]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
