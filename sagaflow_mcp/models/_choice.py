"""The choice between the transports: by what a run's launcher had, a key or the `claude` command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagaflow_mcp.credentials import CLAUDE
from sagaflow_mcp.models._claude_command import ClaudeCommand
from sagaflow_mcp.models._deferred import DeferredMessagesApi

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagaflow_mcp.models._types import ModelReply, ModelRequest, Transport


class ChosenTransport:
    """Either transport, as the credentials of each call say. Belongs to one event loop."""

    def __init__(self, models: Mapping[str, str]) -> None:
        self._api = DeferredMessagesApi(models)
        self._command = ClaudeCommand(models)

    async def complete(self, request: ModelRequest, *, credentials: Mapping[str, str]) -> ModelReply:
        """As `MessagesApi.complete` or `ClaudeCommand.complete`."""
        transport: Transport = self._command if CLAUDE in credentials else self._api
        return await transport.complete(request, credentials=credentials)

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()
