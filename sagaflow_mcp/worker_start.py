"""The start of a worker, whichever kind: its connection to Temporal, waited for where the server is the user's own."""

from __future__ import annotations

import asyncio
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from sagaflow_mcp import connection, keys, lineage, sealing, temporal, worker_link
from sagaflow_mcp.durable import recovery
from sagaflow_mcp.durable.interceptors import refusals
from sagaflow_mcp.durable.run_log import RunLog
from sagaflow_mcp.errors import Failure, Refusal, SagaflowError
from sagaflow_mcp.paths import Home
from sagaflow_mcp.payloads import SharedPydanticConverter
from sagaflow_mcp.refused import RefusalLog
from sagaflow_mcp.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from temporalio.client import Client

    from sagaflow_mcp.connection import Connection
    from sagaflow_mcp.credentials import Credentials

logger = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
"""The pause before a server of the user's own, which may be away for hours, is asked again."""

THREADS = 1_000
"""How many steps, tools of agents and visits to the disk may each have a thread at a time; it begins when it is needed.

asyncio's own limit is the number of cores and a few more: as many steps that wait would hold up all other work."""


def begin_threads() -> None:
    """Let the running event loop have `THREADS`."""
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="sagaflow"))


def begin_log() -> None:
    """Log to standard error from now on, without a line for each call of a model."""
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    # What is wrong with a server's answers is told where it was asked; here, they would be shown in part.
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)


class Footing(NamedTuple):
    """What a worker stands on."""

    settings: Settings
    server: Connection
    client: Client
    home_id: str
    lineage: str
    identity: str
    codec: sealing.SealingCodec


async def footing(settings: Settings, server: Connection) -> Footing:
    """A connection to `server` in the name of a worker.

    Raises:
        Failure: the server cannot be used, or the home lacks what it needs.
    """
    home, ring = settings.home, keys.KeyRing.of(settings.home)
    line = lineage.of(home)
    identity = lineage.identity(ring.home_id, line)
    log = RefusalLog(home)
    client = await temporal.connect(
        home, server, identity=identity, payload_converter=SharedPydanticConverter, report=log.report
    )
    refusals.addHandler(log)
    logging.getLogger().addHandler(RunLog(home))
    return Footing(settings, server, client, ring.home_id, line, identity, sealing.SealingCodec(ring.keys))


async def release(given: Footing) -> recovery.Released:
    """What dead workers of this home and machine left behind, after it was dealt with; see `recovery.release`."""
    ours = recovery.Ours(given.client, given.settings.home, given.home_id, given.lineage, given.identity)
    return await recovery.release(ours)


async def of_engine(environ: Mapping[str, str], address: str, credentials: Credentials) -> Footing:
    """The footing of an engine's worker: on the embedded server at `address`, or without one on the user's own.

    The user's own is waited for, whatever keeps us out, with `config.toml` read anew each time; the engine is told.

    Raises:
        SagaflowError: the embedded server cannot be used.
    """
    if address:
        return await footing(Settings.load(environ), connection.Connection(address))
    waiting = Waiting(credentials)
    link: asyncio.Task[None] | None = None
    try:
        while True:
            try:
                return await footing(*_own(environ))
            except SagaflowError as error:
                waiting.note(str(error))
            if link is None:
                home = Home.from_environment(environ)
                link = asyncio.create_task(worker_link.serve(home, waiting, credentials, is_ready=False))
            await asyncio.sleep(RETRY_SECONDS)
    finally:
        if link is not None:
            link.cancel()
            with suppress(asyncio.CancelledError):
                await link


def _own(environ: Mapping[str, str]) -> tuple[Settings, Connection]:
    settings = Settings.load(environ)
    server = connection.own(settings)
    if server is None:
        raise Refusal(
            f"{settings.home.config!r} no longer has the [temporal] that the engine was started with; that is heeded "
            "once the engine was stopped"
        )
    return settings, server


class Waiting:
    """What the engine is told by a worker that cannot reach its server yet."""

    closer = False

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._trouble = ""

    def note(self, trouble: str) -> None:
        """Remember why there is no connection, and log it once."""
        if trouble != self._trouble:
            logger.warning("%s; trying again", trouble)
        self._trouble = trouble

    async def run_skill(self, name: str, digest: str) -> NoReturn:  # noqa: ARG002 - the link's protocol
        """Refuse, with the reason."""
        raise Failure(self._trouble)

    def remember(self, run_id: str, values: dict[str, str]) -> None:
        """Keep the model credentials that came with a launch."""
        self._credentials.remember(run_id, values)

    def state(self) -> dict[str, Any]:
        """Why it waits."""
        return {"trouble": self._trouble}
