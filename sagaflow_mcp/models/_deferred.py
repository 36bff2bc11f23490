"""A transport whose library is loaded with its first call: `anthropic` takes a second or so to import."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sagaflow_mcp.models._messages_api import MessagesApi
    from sagaflow_mcp.models._types import ModelReply, ModelRequest


class DeferredMessagesApi:
    """The Messages API, loaded beside other work once it is called for.

    Not before: a run's first step would wait for it as long as a first call does (a cold launch takes as long either
    way, measured), and a worker that replaces a killed one has often nothing to ask. Belongs to one event loop.
    """

    def __init__(self, models: Mapping[str, str]) -> None:
        self._models = models
        self._loading: asyncio.Task[MessagesApi] | None = None

    def _load(self) -> MessagesApi:
        with _uncollected():
            module = importlib.import_module("sagaflow_mcp.models._messages_api")
        transport: MessagesApi = module.MessagesApi(self._models)
        return transport

    async def complete(self, request: ModelRequest, *, credentials: Mapping[str, str]) -> ModelReply:
        """As `MessagesApi.complete`."""
        if self._loading is None:
            self._loading = asyncio.create_task(asyncio.to_thread(self._load))
        # Shielded: a step that is cancelled while it waits must not take the library from the others.
        transport = await asyncio.shield(self._loading)
        return await transport.complete(request, credentials=credentials)

    async def close(self) -> None:
        """Close the transport's connections, if it was ever loaded."""
        if self._loading is not None:
            await (await self._loading).close()


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage is looked for in the body.

    An import makes hardly any, but 3,000 modules of it are looked through again and again while they come: 1.0 s
    instead of 1.8 s (measured).
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
