"""What a worker lends to its steps, for steps that are taken without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagaflow_mcp.credentials import Credentials
from sagaflow_mcp.durable import context
from sagaflow_mcp.durable.attempts import Awake
from sagaflow_mcp.durable.calls import Calls
from sagaflow_mcp.models import ChosenTransport
from sagaflow_mcp.settings import Settings

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home


def services(home: Home, *, joined: bool = False) -> context.Services:
    """Those of a worker that has no model, on the launching machine or, `joined`, on another."""
    return context.Services(
        settings=Settings(home, notify=False),
        transport=ChosenTransport({}),
        calls=Calls(1),
        credentials=Credentials(),
        identity="",
        awake=Awake(),
        joined=joined,
    )
