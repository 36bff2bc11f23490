"""The worker process: runs the workflows and steps of one home, and delivers their endings to the inbox."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from google.protobuf.duration_pb2 import Duration
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.workflowservice.v1 import UpdateNamespaceRequest
from temporalio.service import RPCError

from sagaflow_mcp import (
    connection,
    credentials,
    environments,
    ids,
    markers,
    model_access,
    models,
    scheduling,
    temporal,
    unreachable,
    worker_link,
    worker_start,
)
from sagaflow_mcp.child_runs import ChildRuns
from sagaflow_mcp.crash_points import CrashPoints
from sagaflow_mcp.credentials import Credentials
from sagaflow_mcp.durable import context, housekeeping, reconciler, recovery, steps
from sagaflow_mcp.durable.attempts import Awake
from sagaflow_mcp.durable.calls import Calls
from sagaflow_mcp.errors import Failure, SagaflowError
from sagaflow_mcp.settings import Settings
from sagaflow_mcp.skill_workers import SkillWorkers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagaflow_mcp.worker_start import Footing

logger = logging.getLogger(__name__)

SECOND_LOOK_SECONDS = 3.0
"""When recovery runs again: a task may have been handed to the dying worker, and visibility lags a little."""

CHANGED_SECONDS = 5.0
"""How often a worker that its server does not answer looks whether another key or certificate is there for it."""


class RunWorker:
    """Everything that runs in the worker process, from the connection to the last ending delivered."""

    def __init__(self, given: Footing, held: Credentials) -> None:
        self._given = given
        self._settings = given.settings
        self._client = given.client
        self._home_id = given.home_id
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None
        self.closer = False
        """Whether it is known better now what killed earlier workers."""
        self.credentials = held
        self._transport = models.ChosenTransport(given.settings.models)
        services = context.Services(
            settings=given.settings,
            transport=self._transport,
            calls=Calls(given.settings.concurrent_model_calls),
            # Where a worker is to die at each point in turn, the points must be the same in each run.
            batches=not CrashPoints(given.settings.home).enabled,
            credentials=held,
            identity=given.identity,
            awake=Awake(),
            environment=environments.own(),
            child=ChildRuns(given.settings, given.home_id, held, self._take).ready,
        )
        self._environment = services.environment
        self._servers = services.servers
        self._reconciler = reconciler.Reconciler(given.client, services, given.home_id, given.server)
        self._around = steps.SagaflowInterceptor(services, given.codec, self._nudge)
        self._workers = SkillWorkers(given.client, services, given.home_id, self._around, self._fail)
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Work until told to stop. Whatever made a Temporal worker give up is raised."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop.set)
        # What was imported stays: nobody need look through it for garbage.
        gc.freeze()
        if not self._given.server.is_own:
            await self._keep_closed_runs()
        released = await worker_start.release(self._given)
        # A death that a test has asked for says nothing about the next worker.
        self.closer = released.closer or CrashPoints(self._settings.home).enabled
        logger.info("worker %s: %d steps of dead workers released", self._given.identity, released.steps)
        if released.suspects:
            self._around.try_tasks_first()
        await self._workers.start(careful=released.suspects)
        await self._resume_open_runs()
        endless = [
            asyncio.create_task(self._reconciler.run()),
            asyncio.create_task(worker_link.serve(self._settings.home, self, self.credentials)),
            asyncio.create_task(scheduling.Schedules(self._client, self._settings, self._home_id).run()),
        ]
        if self._given.server.is_own:
            endless.append(asyncio.create_task(self._until_changed()))
        kept = housekeeping.keep(self._client, self._settings, self._home_id, self._workers)
        tasks = [*endless, asyncio.create_task(self._second_look()), asyncio.create_task(kept)]
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([*endless, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            await self._workers.shutdown()
            await self._servers.close()
            await self._transport.close()
        for result in [self._failure, *results]:
            if isinstance(result, Exception):
                raise result

    async def run_skill(self, name: str, digest: str) -> None:
        """Take the work of one skill version; Refusal when it cannot be loaded."""
        await self._take(name, digest)
        self._nudge()

    async def _take(self, name: str, digest: str) -> None:
        await self._workers.ensure(name, digest)

    def remember(self, run_id: str, values: dict[str, str]) -> None:
        """Keep the model credentials that came with a launch."""
        self.credentials.remember(run_id, values)

    def state(self) -> dict[str, Any]:
        """What the engine shows about this worker."""
        server = self._given.server
        return {
            "open_runs": self._reconciler.open_runs,
            "last_probe": datetime.now(UTC).isoformat(timespec="seconds"),
            "server": {"address": server.address, "namespace": server.namespace},
            "trouble": self._reconciler.trouble,
        }

    def _nudge(self) -> None:
        self._reconciler.nudge()

    def _fail(self, error: BaseException) -> None:
        # A Temporal worker that gives up on its own is not repaired in place: the engine starts a fresh process.
        self._failure = error
        self._stop.set()

    async def _keep_closed_runs(self) -> None:
        retention = Duration()
        retention.FromTimedelta(self._settings.history)
        config = NamespaceConfig(workflow_execution_retention_ttl=retention)
        request = UpdateNamespaceRequest(namespace=self._client.namespace, config=config)
        await self._client.workflow_service.update_namespace(request, timeout=temporal.RPC_LIMIT)

    async def _until_changed(self) -> None:
        """Return when the server does not answer us, and what `config.toml` says of it is not what we know any more."""
        while True:
            await asyncio.sleep(CHANGED_SECONDS)
            if not self._reconciler.trouble:
                continue
            with suppress(SagaflowError):
                if await asyncio.to_thread(self._is_changed):
                    logger.info("what config.toml says of the Temporal server has changed; the next worker heeds it")
                    return

    def _is_changed(self) -> bool:
        return connection.own(Settings.load(self._settings.environ)) != self._given.server

    async def _resume_open_runs(self) -> None:
        open_queues = await recovery.open_queues(self._client, self._home_id)
        # Of those, too, whose launch had the worker before this one take their skill, and is about to start them.
        listed = await asyncio.to_thread(markers.listing, self._settings.home)
        marked = [ids.SkillQueue(self._home_id, each.skill, each.digest) for each in listed if each.digest]
        for queue in dict.fromkeys([*open_queues, *marked]):
            try:
                await self._workers.ensure(queue.skill, queue.digest)
            except SagaflowError as error:
                await self._give_up(queue, str(error))

    async def _give_up(self, queue: ids.SkillQueue, reason: str) -> None:
        """End the runs of a skill version that cannot be loaded: waiting would be waiting for ever."""
        if environments.is_lost(self._environment):
            return  # That is why; the engine is about to end this process.
        logger.error("skill %s %s cannot be loaded: %s", queue.skill, queue.digest[:12], reason)
        async for execution, its_queue in temporal.executions(self._client, self._home_id):
            if its_queue == queue and not execution.parent_id:
                with suppress(RPCError):
                    handle = self._client.get_workflow_handle(execution.id, run_id=execution.run_id)
                    await handle.terminate(reason=f"{reconciler.UNLOADABLE}{reason}")

    async def _second_look(self) -> None:
        await asyncio.sleep(SECOND_LOOK_SECONDS)
        try:
            await worker_start.release(self._given)
        except RPCError as error:
            # The heartbeat timeout still stands behind this.
            logger.warning("could not look again for steps of dead workers: %s", error)


async def work(environ: Mapping[str, str], address: str) -> None:
    """Connect to Temporal and work until told to stop.

    Args:
        environ: what the settings are read from, and the credentials that nobody has given anew.
        address: where the embedded server is; empty to use the user's own.

    Raises:
        SagaflowError: the embedded server cannot be used, or the user's own lets us do no work.
    """
    worker_start.begin_threads()
    # As the engine has it: with the model credentials of its environment, until a launch brings others.
    held = Credentials(at_start=await asyncio.to_thread(_access, environ))
    given = await worker_start.of_engine(environ, address, held)
    try:
        await RunWorker(given, held).run()
    except (RPCError, RuntimeError) as error:
        if not given.server.is_own:
            raise
        raise Failure(unreachable.sentence(given.server, error)) from error


def _access(environ: Mapping[str, str]) -> dict[str, str]:
    """The model access that nobody need bring. Never raises: without any, runs wait for it and the inbox says so."""
    try:
        return model_access.found(Settings.load(environ))
    except SagaflowError as error:
        logger.warning("%s", error)
        return credentials.found_in(environ)


def main(arguments: Sequence[str] | None = None) -> int:
    """The worker's command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sagaflow_mcp.worker")
    parser.add_argument("--home", required=True)
    parser.add_argument("--address", default="", help="the embedded server; without it, the one in config.toml")
    options = parser.parse_args(arguments)
    worker_start.begin_log()
    asyncio.run(work({**os.environ, "SAGAFLOW_HOME": options.home}, options.address))
    return 0


def _end(status: int) -> NoReturn:
    """End the process now: the interpreter would wait for threads in which skills' code may run for ever."""
    logging.shutdown()
    os._exit(status)


if __name__ == "__main__":
    try:
        _end(main())
    except SagaflowError as failed:
        logger.error("%s", failed)  # noqa: TRY400 - a sentence, which the engine passes on as the reason
        _end(1)
    except BaseException:
        logger.exception("the worker ends")
        _end(1)
