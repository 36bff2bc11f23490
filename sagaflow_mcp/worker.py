"""The worker process: runs the workflows and steps of one home, and delivers their endings to the inbox."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import signal
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from google.protobuf.duration_pb2 import Duration
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.workflowservice.v1 import UpdateNamespaceRequest
from temporalio.service import RPCError

from sagaflow_mcp import environments, keys, markers, models, sealing, temporal, worker_link
from sagaflow_mcp.credentials import Credentials
from sagaflow_mcp.durable import context, reconciler, recovery, steps
from sagaflow_mcp.durable.attempts import Awake
from sagaflow_mcp.durable.interceptors import refusals
from sagaflow_mcp.errors import SagaflowError
from sagaflow_mcp.payloads import SharedPydanticConverter
from sagaflow_mcp.refused import RefusalLog
from sagaflow_mcp.settings import Settings
from sagaflow_mcp.skill_workers import SkillWorkers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from temporalio.client import Client

logger = logging.getLogger(__name__)

RETENTION = timedelta(days=90)
"""How long the embedded server keeps closed runs; its own default is 24 hours, too short for an engine that was off."""

SECOND_LOOK_SECONDS = 3.0
"""When recovery runs again: a task may have been handed to the dying worker, and visibility lags a little."""

TIDY_SECONDS = 60.0
"""How often skill versions that no run needs are let go."""


class RunWorker:
    """Everything that runs in the worker process, from the connection to the last ending delivered."""

    def __init__(
        self, settings: Settings, client: Client, home_id: str, codec: sealing.SealingCodec, identity: str
    ) -> None:
        self._settings = settings
        self._client = client
        self._home_id = home_id
        self._identity = identity
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None
        self.closer = False
        """Whether it is known better now what killed earlier workers."""
        self.credentials = Credentials(at_start=settings.credentials())
        self._transport = models.ChosenTransport(settings.models)
        services = context.Services(
            settings=settings,
            transport=self._transport,
            credentials=self.credentials,
            identity=identity,
            awake=Awake(),
            environment=environments.own(),
        )
        self._environment = services.environment
        self._reconciler = reconciler.Reconciler(client, services, home_id)
        self._around = steps.SagaflowInterceptor(services, codec, self._nudge)
        self._workers = SkillWorkers(client, settings, home_id, self._around, self._fail)
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Work until told to stop. Whatever made a Temporal worker give up is raised."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop.set)
        self._transport.load()
        await self._keep_closed_runs()
        released = await recovery.release(self._client, self._settings.home, self._home_id, alive=self._identity)
        self.closer = released.closer
        logger.info("worker %s: %d steps of dead workers released", self._identity, released.steps)
        if released.suspects:
            self._around.try_tasks_first()
        await self._workers.start(careful=released.suspects)
        await self._resume_open_runs()
        endless = [
            asyncio.create_task(self._reconciler.run()),
            asyncio.create_task(worker_link.serve(self._settings.home, self, self.credentials)),
        ]
        tasks = [*endless, asyncio.create_task(self._second_look()), asyncio.create_task(self._tidy())]
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([*endless, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            await self._workers.shutdown()
            await self._transport.close()
        for result in [self._failure, *results]:
            if isinstance(result, Exception):
                raise result

    async def run_skill(self, name: str, digest: str) -> None:
        """Take the work of one skill version; Refusal when it cannot be loaded."""
        await self._workers.ensure(name, digest)
        self._nudge()

    def remember(self, run_id: str, values: dict[str, str]) -> None:
        """Keep the model credentials that came with a launch."""
        self.credentials.remember(run_id, values)

    def state(self) -> dict[str, Any]:
        """What the engine shows about this worker."""
        return {"open_runs": self._reconciler.open_runs, "last_probe": datetime.now(UTC).isoformat(timespec="seconds")}

    def _nudge(self) -> None:
        self._reconciler.nudge()

    def _fail(self, error: BaseException) -> None:
        # A Temporal worker that gives up on its own is not repaired in place: the engine starts a fresh process.
        self._failure = error
        self._stop.set()

    async def _keep_closed_runs(self) -> None:
        retention = Duration()
        retention.FromTimedelta(RETENTION)
        config = NamespaceConfig(workflow_execution_retention_ttl=retention)
        request = UpdateNamespaceRequest(namespace=self._client.namespace, config=config)
        await self._client.workflow_service.update_namespace(request, timeout=temporal.RPC_LIMIT)

    async def _resume_open_runs(self) -> None:
        for queue in await recovery.open_queues(self._client, self._home_id):
            try:
                await self._workers.ensure(queue.skill, queue.digest)
            except SagaflowError as error:
                await self._give_up(queue.skill, queue.digest, str(error))

    async def _give_up(self, skill: str, digest: str, reason: str) -> None:
        """End the runs of a skill version that cannot be loaded: waiting would be waiting for ever."""
        if environments.is_lost(self._environment):
            return  # That is why; the engine is about to end this process.
        logger.error("skill %s %s cannot be loaded: %s", skill, digest[:12], reason)
        async for execution in self._client.list_workflows("ExecutionStatus = 'Running'"):
            if execution.task_queue.endswith(f".skill.{skill}.{digest}") and not execution.parent_id:
                with suppress(RPCError):
                    handle = self._client.get_workflow_handle(execution.id, run_id=execution.run_id)
                    await handle.terminate(reason=f"{reconciler.UNLOADABLE}{reason}")

    async def _second_look(self) -> None:
        await asyncio.sleep(SECOND_LOOK_SECONDS)
        try:
            await recovery.release(self._client, self._settings.home, self._home_id, alive=self._identity)
        except RPCError as error:
            # The heartbeat timeout still stands behind this.
            logger.warning("could not look again for steps of dead workers: %s", error)

    async def _tidy(self) -> None:
        previous: set[tuple[str, str]] | None = None
        while True:
            await asyncio.sleep(TIDY_SECONDS)
            try:
                needed = await self._needed_versions()
            except RPCError as error:
                logger.warning("could not look for skill versions that no run needs; trying again: %s", error)
                continue
            # Two rounds in a row without need: a version that was just launched is never let go.
            if previous is not None:
                await self._workers.retire(needed | previous)
            previous = needed

    async def _needed_versions(self) -> set[tuple[str, str]]:
        """Skill and digest of each version that an open run has, by its marker or by its task queue."""
        marked = await asyncio.to_thread(markers.listing, self._settings.home)
        queues = await recovery.open_queues(self._client, self._home_id)
        return {(each.skill, each.digest) for each in marked} | {(each.skill, each.digest) for each in queues}


async def work(settings: Settings, address: str, namespace: str) -> None:
    """Connect to Temporal at `address` and work until told to stop; Failure when it cannot be reached."""
    home = settings.home
    ring = keys.KeyRing.of(home)
    # Of this process and this start of it: recovery must never take a new worker for a dead one with the same pid.
    identity = f"sagaflow/{ring.home_id}/{os.getpid()}/{secrets.token_hex(4)}"
    log = RefusalLog(home)
    refusals.addHandler(log)
    client = await temporal.connect(
        home,
        address,
        namespace=namespace,
        identity=identity,
        payload_converter=SharedPydanticConverter,
        report=log.report,
    )
    await RunWorker(settings, client, ring.home_id, sealing.SealingCodec(ring.keys), identity).run()


def main(arguments: Sequence[str] | None = None) -> int:
    """The worker's command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sagaflow_mcp.worker")
    parser.add_argument("--home", required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--namespace", default="default")
    options = parser.parse_args(arguments)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    settings = Settings.load({**os.environ, "SAGAFLOW_HOME": options.home})
    asyncio.run(work(settings, options.address, options.namespace))
    return 0


def _end(status: int) -> NoReturn:
    """End the process now: the interpreter would wait for threads in which skills' code may run for ever."""
    logging.shutdown()
    os._exit(status)


if __name__ == "__main__":
    try:
        _end(main())
    except BaseException:
        logger.exception("the worker ends")
        _end(1)
