"""The wait for a run's ending, with its progress on the way."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from sagaflow_mcp import engine_client, model_access, runs
from sagaflow_mcp.errors import Failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sagaflow_mcp.runs import Run
    from sagaflow_mcp.settings import Settings

LOOK_SECONDS = 0.2
"""Between two looks at the run's files."""

ENGINE_LOOK_SECONDS = 2.0
"""Between two looks at the engine: whoever waits for a run also brings a dead engine back."""


async def follow(settings: Settings, run_id: str, seconds: float | None = None) -> AsyncIterator[Run]:
    """The run as it is, at every look, the last time when it has ended or `seconds` are over (None: no limit).

    Raises:
        Refusal: there is no such run.
        Failure: the engine has stopped trying.
    """
    deadline = time.monotonic() + seconds if seconds is not None else float("inf")
    next_engine_look = time.monotonic() + ENGINE_LOOK_SECONDS
    while True:
        run = await anyio.to_thread.run_sync(runs.get, settings.home, run_id)
        yield run
        if not run.is_open or time.monotonic() >= deadline:
            return
        if time.monotonic() >= next_engine_look:
            await anyio.to_thread.run_sync(_keep_engine_up, settings)
            next_engine_look = time.monotonic() + ENGINE_LOOK_SECONDS
        await anyio.sleep(LOOK_SECONDS)


def _keep_engine_up(settings: Settings) -> None:
    status = engine_client.ensure(settings.home, environ=settings.for_engine())
    # In this order: a helper is asked for a key only where there is none.
    if not status.get("credentials") and (credentials := model_access.at_hand(settings)):
        engine_client.ready(settings.home, credentials=credentials, environ=settings.for_engine())
    if status.get("state") == "failed":
        raise Failure(f"the engine has stopped trying: {status.get('reason')}; the run goes on once that is put right")
