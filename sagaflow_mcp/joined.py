"""`sagaflow worker run --join`: a worker on another machine, which shares a home's work, but not its engine or inbox.

Its own home has the other's `key` and `config.toml`, and the same `runs`, `blobs` and `skills`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from temporalio.service import RPCError

from sagaflow_mcp import (
    connection,
    engine_start,
    ids,
    model_access,
    models,
    paths,
    processes,
    temporal,
    unreachable,
    worker_start,
)
from sagaflow_mcp.child_runs import ChildRuns
from sagaflow_mcp.credentials import Credentials
from sagaflow_mcp.durable import context, steps
from sagaflow_mcp.durable.attempts import Awake
from sagaflow_mcp.durable.calls import Calls
from sagaflow_mcp.errors import Failure, Refusal
from sagaflow_mcp.skill_workers import SkillWorkers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagaflow_mcp.connection import Connection
    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.settings import Settings
    from sagaflow_mcp.worker_start import Footing

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""The pause between two looks at which skill versions have open runs."""

TIDY_LOOKS = 30
"""So many looks a skill version is kept that no open run needs, and one that cannot be loaded is left alone."""


def run(settings: Settings) -> int:
    """Work until told to stop; the exit status.

    Raises:
        Refusal: the home is not one to join with.
        Failure: the server cannot be used, or the folders of the home that was joined are not here.
        KeyboardInterrupt: ^C ended it.
    """
    server = _server(settings)
    with _only_one(settings.home):
        worker_start.begin_log()
        if asyncio.run(_work(settings, server)) == signal.SIGINT:
            raise KeyboardInterrupt("this machine has left; other workers take what it had in hand")
    return 0


def _server(settings: Settings) -> Connection:
    """The server that is shared; Refusal where the home is not one to join with."""
    home = settings.home
    server = connection.own(settings)
    if server is None:
        raise Refusal(
            f"--join needs a Temporal server that both machines reach; name it under [temporal] in {home.config!r}"
        )
    if Path(home.engine, "reconciler.json").exists() or processes.Place(home.engine, "engine").alive():
        raise Refusal(
            f"the home {home.root!r} has an engine of its own, which takes its work already; join with another home, "
            "on another machine"
        )
    if not Path(home.key).exists():
        raise Refusal(f"{home.key!r} is missing; copy it from the home whose work this machine is to join")
    return server


@contextlib.contextmanager
def _only_one(home: Home) -> Iterator[None]:
    """Hold the lock by which this process is the one that has joined with `home`; Failure when another has it."""
    place = engine_start.joining(home)
    lock = processes.acquire(place.lock)
    if lock is None:
        raise Failure(f"process {place.pid()} has joined with the home {home.root!r} already; one takes all there is")
    try:
        paths.write_atomically(place.pid_file, f"{os.getpid()}\n")
        yield
    finally:
        os.close(lock)


async def _work(settings: Settings, server: Connection) -> int:
    worker_start.begin_threads()
    return await _Joined(await worker_start.footing(settings, server)).run()


class _Joined:
    """The worker, from the connection to the signal that ends it."""

    def __init__(self, given: Footing) -> None:
        self._given = given
        self._credentials = Credentials(at_start=model_access.found(given.settings))
        self._transport = models.ChosenTransport(given.settings.models)
        services = context.Services(
            settings=given.settings,
            transport=self._transport,
            calls=Calls(given.settings.concurrent_model_calls),
            credentials=self._credentials,
            identity=given.identity,
            awake=Awake(),
            child=ChildRuns(given.settings, given.home_id, self._credentials, self._take_version).ready,
            joined=True,
        )
        around = steps.SagaflowInterceptor(services, given.codec, lambda: None)
        self._workers = SkillWorkers(given.client, services, given.home_id, around, self._fail)
        self._services = services
        self._missing: set[str] = set()
        self._left_alone: dict[ids.SkillQueue, int] = {}
        self._needed: set[tuple[str, str]] = set()
        self._takes_model_calls = False
        self._told = ""
        self._failure: BaseException | None = None
        self._signal = 0
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """Work until told to stop; the signal that did."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop, number)
        await worker_start.release(self._given)
        print(self._greeting(), file=sys.stderr, flush=True)  # noqa: T201 - a command prints
        try:
            await self._look_until_stopped()
        finally:
            await self._workers.shutdown()
            await self._services.servers.close()
            await self._transport.close()
        if self._failure is not None:
            raise Failure(unreachable.sentence(self._given.server, self._failure)) from self._failure
        return self._signal

    async def _take_version(self, name: str, digest: str) -> None:
        await self._workers.ensure(name, digest)

    def _greeting(self) -> str:
        calls = (
            "steps and model calls" if self._credentials.of("") else "steps; model calls need a key, which is not here"
        )
        where = f"{self._given.server.address}, namespace {self._given.server.namespace}"
        return f"this machine has joined home {self._given.home_id} at {where}, for {calls}; ^C leaves"

    def _told_to_stop(self, number: int) -> None:
        self._signal = number
        self._stop.set()

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._stop.set()

    async def _look_until_stopped(self) -> None:
        looks = 0
        while not self._stop.is_set():
            try:
                await self._look(looks)
                self._told = ""
            except RPCError as error:
                sentence = unreachable.sentence(self._given.server, error)
                if sentence != self._told:
                    logger.warning("%s; trying again", sentence)
                self._told = sentence
            looks += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), LOOK_SECONDS)

    async def _look(self, looks: int) -> None:
        """Take the work of each skill version that an open run has, once its folders are seen to be here."""
        queues: dict[ids.SkillQueue, None] = {}
        missing = set()
        async for execution, queue in temporal.executions(self._given.client, self._given.home_id):
            queues[queue] = None
            if not execution.parent_id and not await asyncio.to_thread(self._services.has_folder, execution.id):
                missing.add(execution.id)
        self._refuse_without_folders(missing)
        if queues and not missing:
            await self._take(list(queues), looks)
        if looks % TIDY_LOOKS == 0:
            needed = {(queue.skill, queue.digest) for queue in queues}
            await self._workers.retire(needed | self._needed)
            self._needed = needed

    def _refuse_without_folders(self, missing: set[str]) -> None:
        """Failure when a run was open without its folder twice in a row: it may have been removed at that moment."""
        still = sorted(missing & self._missing)
        self._missing = missing
        if still:
            raise Failure(
                f"run {still[0]!r} is open, but its folder is not in {self._given.settings.home.runs!r}: share `runs`, "
                "`blobs` and `skills` with the home whose work this machine is to join"
            )

    async def _take(self, queues: list[ids.SkillQueue], looks: int) -> None:
        if not self._takes_model_calls and self._credentials.of(""):
            self._workers.take_model_calls()
            self._takes_model_calls = True
        for queue in queues:
            if looks < self._left_alone.get(queue, 0):
                continue
            try:
                await self._workers.ensure(queue.skill, queue.digest)
            except Refusal as error:
                logger.warning("left to other machines: %s", error)
                self._left_alone[queue] = looks + TIDY_LOOKS
