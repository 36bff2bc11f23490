"""Other ways to a Sagaflow than its tests' own: a plain client of Temporal, and the command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
from temporalio.api.enums.v1 import EventType

from sagaflow_mcp import connection, temporal, temporal_server
from tests import command_line

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from temporalio.client import Client

    from sagaflow_mcp.testing import LocalSagaflow


def with_client(local: LocalSagaflow, act: Callable[[Client], Awaitable[Any]]) -> Any:
    """What `act` makes of a client with this home's seal. The server must be up; an engine need not be."""
    ports = temporal_server.recorded(local.settings.home)
    server = connection.own(local.settings) or (ports and ports.address)
    assert server

    async def run() -> Any:
        """Connect and act."""
        return await act(await temporal.connect(local.settings.home, server))

    return anyio.run(run)


def timers(local: LocalSagaflow, workflow_id: str) -> int:
    """How many timers an execution has started: how often it has gone to sleep, or begun to wait for an answer."""

    async def count(client: Client) -> int:
        """In its history."""
        history = await client.get_workflow_handle(workflow_id).fetch_history()
        return sum(event.event_type == EventType.EVENT_TYPE_TIMER_STARTED for event in history.events)

    found: int = with_client(local, count)
    return found


def in_process(local: LocalSagaflow, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """What the command does, in this process. A variable that is given empty is not set."""
    return command_line.in_process(*words, env={**local.environment(), **environ})


def as_process(
    local: LocalSagaflow, *words: str, cwd: Path | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    """The same as from a shell, in the folder `cwd`."""
    return command_line.as_process(*words, env={**local.environment(), **environ}, cwd=cwd)
