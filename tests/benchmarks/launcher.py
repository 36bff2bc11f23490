"""The figures of the launcher: how soon it answers, what it adds to a call, and what an idle session costs."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.benchmarks.figures import Figure, in_turns, resident

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
FRONT = ("sh", str(ROOT / "sagaflow_mcp" / "front.sh"))
BARE = (sys.executable, str(Path(__file__).parent / "bare_server.py"))

SHIM = "pyenv/shims"
"""In the path of a `python3` that is pyenv's: a shell script that looks for the real one at each start."""

CALLS = 200
"""Calls in a row, of which the median counts."""


class _Session:
    """A server and its client, after `initialize`."""

    def __init__(self, command: Sequence[str], folder: str) -> None:
        environ = {**os.environ, "HOME": folder, "SAGAFLOW_HOME": folder, "SAGAFLOW_SERVER": " ".join(BARE)}
        self.began = time.perf_counter()
        self.process = subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        client = {"name": "benchmark", "version": "1"}
        self.ask("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=client)
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=30)

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, method: str, **params: Any) -> None:
        """Send a request and read its answer."""
        assert self.process.stdout is not None
        self._send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        answer = json.loads(self.process.stdout.readline())
        if "result" not in answer:
            raise RuntimeError(f"{method} failed: {answer}")

    def milliseconds(self) -> float:
        """The time since it was started."""
        return (time.perf_counter() - self.began) * 1000

    def call(self) -> float:
        """How long one call takes, in milliseconds."""
        found = []
        for _ in range(CALLS):
            began = time.perf_counter()
            self.ask("tools/call", name="echo", arguments={"text": "hello"})
            found.append((time.perf_counter() - began) * 1000)
        return statistics.median(found)


def figures(rounds: int) -> list[Figure]:
    """All of them, against a bare `MCPServer`."""
    with tempfile.TemporaryDirectory() as folder:
        greeted = in_turns(rounds, ours=partial(_greeted, FRONT, folder), bare=partial(_greeted, BARE, folder))
        shimmed = _shimmed(rounds, folder)
        listed = in_turns(rounds, ours=partial(_listed, FRONT, folder), bare=partial(_listed, BARE, folder))
        with _Session(FRONT, folder) as ours, _Session(BARE, folder) as bare:
            idle = resident(ours.process.pid)
            called = in_turns(rounds, ours=ours.call, bare=bare.call)
            used = resident(ours.process.pid)
    added = [ours - bare for ours, bare in zip(called["ours"], called["bare"], strict=True)]
    note = f"{statistics.median(called['bare']):.1f} ms without"
    return [
        Figure("launcher, start to initialize", greeted["ours"], "ms", greeted["bare"], 0.1, note="bare MCPServer"),
        *shimmed,
        Figure("launcher, start to tools/list", listed["ours"], "ms", listed["bare"], 0.1, note="bare MCPServer"),
        Figure("launcher, added to a call", added, "ms", bar=1, note=note),
        Figure("memory: launcher, idle", [idle], "MB", bar=15),
        Figure("memory: launcher, after calls", [used], "MB"),
    ]


def _shimmed(rounds: int, folder: str) -> list[Figure]:
    """The start where the only python3 is pyenv's shim; nothing where there is none on the PATH."""
    shim = next((each for each in os.environ["PATH"].split(os.pathsep) if SHIM in each), None)
    if shim is None or not Path(shim, "python3").exists():
        return []
    text = Path(FRONT[1]).read_text(encoding="utf-8")
    front = Path(folder, "front.sh")
    only = text.replace("/usr/bin/python3 python3 ", f"{shim}/python3 ").replace("root=${0%/*}/..", f"root='{ROOT}'")
    front.write_text(only, encoding="utf-8")
    found = in_turns(rounds, ours=partial(_greeted, ("sh", str(front)), folder), bare=partial(_greeted, BARE, folder))
    return [Figure("launcher, start to initialize", found["ours"], "ms", found["bare"], note="python3 is a pyenv shim")]


def _greeted(command: Sequence[str], folder: str) -> float:
    with _Session(command, folder) as session:
        return session.milliseconds()


def _listed(command: Sequence[str], folder: str) -> float:
    with _Session(command, folder) as session:
        session.ask("tools/list")
        return session.milliseconds()
