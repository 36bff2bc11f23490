"""A plain use of Temporal beside Sagaflow's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from sagaflow_mcp import temporal, temporal_server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from temporalio.client import Client

    from sagaflow_mcp.testing import LocalSagaflow


def with_client(local: LocalSagaflow, act: Callable[[Client], Awaitable[Any]]) -> Any:
    """What `act` makes of a client with this home's seal. The server must be up; an engine need not be."""
    ports = temporal_server.recorded(local.settings.home)
    assert ports is not None

    async def run() -> Any:
        """Connect and act."""
        return await act(await temporal.connect(local.settings.home, ports.address))

    return anyio.run(run)
