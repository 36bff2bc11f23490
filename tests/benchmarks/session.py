"""The figures of an MCP session: how fast it launches, what it costs in context, how much memory all parts take."""

from __future__ import annotations

import sysconfig
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from mcp import Client, StdioServerParameters

from sagaflow_mcp import engine_client
from tests.benchmarks.figures import Figure, resident

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sagaflow_mcp.testing import LocalSagaflow

SERVER = str(Path(sysconfig.get_path("scripts"), "sagaflow-mcp"))
"""The installed command."""

RUNS_BEFORE = 5
"""Runs of each kind before memory is looked at."""


def launching(local: LocalSagaflow, rounds: int) -> list[Figure]:
    """`launch_workflow` of a run without steps, until its answer is there."""
    return [Figure("launch_workflow, warm", anyio.run(_launches, local, rounds), "ms", bar=120, note="stdio session")]


async def _launches(local: LocalSagaflow, rounds: int) -> list[float]:
    found = []
    async with _session(local) as client:
        for number in range(rounds + 1):
            took = await _launch(client, local)
            if number:  # The first one connects.
                found.append(took)
    return found


async def _launch(client: Client, local: LocalSagaflow) -> float:
    began = time.perf_counter()
    result = await client.call_tool("launch_workflow", {"skill": "bench"})
    took = (time.perf_counter() - began) * 1000
    if result.is_error or not result.structured_content:
        raise RuntimeError(f"launch_workflow failed: {result}")
    await anyio.to_thread.run_sync(local.wait, result.structured_content["run_id"])
    return took


def context(local: LocalSagaflow) -> list[Figure]:
    """What each conversation carries: the tool list and the instructions."""
    tools, instructions = anyio.run(_texts, local)
    return [
        Figure("tools/list JSON", [len(tools)], "chars", bar=6000),
        Figure("instructions", [len(instructions)], "chars", bar=2000),
    ]


async def _texts(local: LocalSagaflow) -> tuple[str, str]:
    async with _session(local) as client:
        listed = await client.list_tools()
        return listed.model_dump_json(by_alias=True, exclude_none=True), client.instructions or ""


def memory(local: LocalSagaflow) -> list[Figure]:
    """Resident memory of each process after some runs with files, with model calls, and from a session."""
    for _ in range(RUNS_BEFORE):
        local.wait(local.launch("bench", artifacts=20))
        local.wait(local.launch("bench", calls=10))
    server = anyio.run(_server_memory, local)
    status = engine_client.status(local.settings.home) or {}
    keeper = int(status["keeper"])
    return [
        Figure("memory: worker", [resident(local.pid("worker"))], "MB", bar=200),
        Figure("memory: MCP server", [server], "MB", bar=130),
        Figure("memory: engine", [resident(local.pid("engine")) + resident(keeper)], "MB", bar=25, note="with keeper"),
        Figure("memory: Temporal server", [resident(local.pid("server"))], "MB"),
    ]


async def _server_memory(local: LocalSagaflow) -> float:
    async with _session(local) as client:
        for _ in range(RUNS_BEFORE):
            await _launch(client, local)
        return resident(int(_pid_file(local).read_text(encoding="utf-8")))


@asynccontextmanager
async def _session(local: LocalSagaflow) -> AsyncIterator[Client]:
    # By way of a shell that becomes the server, to learn its pid: the client does not tell.
    script = 'echo $$ >"$1" && exec "$2"'
    started = StdioServerParameters(
        command="/bin/sh", args=["-c", script, "sh", str(_pid_file(local)), SERVER], env=local.environment()
    )
    async with Client(started, read_timeout_seconds=60) as client:
        yield client


def _pid_file(local: LocalSagaflow) -> Path:
    return local.folder / "mcp-server.pid"
