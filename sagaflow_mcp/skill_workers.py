"""The Temporal workers of this process: one per skill version in use, and one for model calls."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import logging
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from temporalio import activity
from temporalio.worker import Worker

from sagaflow_mcp import __version__, contract, crash_points, ids, loader, pinning
from sagaflow_mcp.durable import (
    activities,
    agent_activities,
    crashing,
    first_execution,
    interceptors,
    prompt_activities,
)
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from temporalio.client import Client

    from sagaflow_mcp.durable.context import Services
    from sagaflow_mcp.durable.steps import SagaflowInterceptor
    from sagaflow_mcp.pinning import Pinned
    from sagaflow_mcp.registry import SkillSpec

logger = logging.getLogger(__name__)

GRACE = timedelta(seconds=2)
"""How long a step in flight may go on when the worker is told to stop; the journal keeps what finishes."""

STICKY_TIMEOUT = timedelta(seconds=2)
"""How long a workflow task waits for the worker that has the run in memory before any other may take it."""

HEARTBEAT_THROTTLE = timedelta(seconds=2)
"""Heartbeats reach the server at least this often, and cancellations come back with them."""

STOP_SECONDS = 6.0
"""How long one Temporal worker may take to shut down before it is left to the end of the process."""

LOAD_SECONDS = 15.0
"""How long a skill may take to be loaded, as when it is tried before its first launch."""

LOAD_THREADS = 8
"""Threads in which skills are loaded; one that never finishes keeps its thread."""

INPUT_THREADS = 16
"""Threads in which skills build their input."""

MODEL_ACTIVITIES = {activities.spawn_subagent, agent_activities.agent_turn, prompt_activities.prompt_model}
"""What runs on the queue for model calls."""


class SkillWorkers:
    """Starts a Temporal worker for a skill version when a run needs it; a broken skill breaks no other."""

    def __init__(
        self,
        client: Client,
        services: Services,
        home_id: str,
        around: SagaflowInterceptor,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._client = client
        self._services = services
        self._home_id = home_id
        self._interceptors = crashing.around(crash_points.CrashPoints(services.home), around)
        self._failed = failed
        # Of its own: a build_input that never returns keeps its thread, and must not keep those of the steps.
        self._inputs = concurrent.futures.ThreadPoolExecutor(INPUT_THREADS, thread_name_prefix="sagaflow-input")
        self._loads = concurrent.futures.ThreadPoolExecutor(LOAD_THREADS, thread_name_prefix="sagaflow-load")
        self._threads = concurrent.futures.ThreadPoolExecutor(16, thread_name_prefix="sagaflow-step")
        self._running: dict[ids.SkillQueue, tuple[Worker, asyncio.Task[None]]] = {}
        self._model: tuple[Worker, asyncio.Task[None]] | None = None
        self._special: dict[str, int] = {}
        self._turn = asyncio.Lock()

    async def start(self, *, careful: bool = False) -> None:
        """Start taking model calls. When `careful`, each skill's workflow code runs for one run at a time.

        Then, if it kills this worker too, only that run was in hand, and no other is suspected with it.
        """
        self._special = {"max_concurrent_workflow_tasks": 1, "max_cached_workflows": 0} if careful else {}
        self.take_model_calls()

    def take_model_calls(self) -> None:
        """Start taking model calls."""
        self._model = self._started(
            self._worker(
                ids.model_queue(self._home_id),
                activities=list(MODEL_ACTIVITIES),
                max_concurrent_activities=self._services.settings.concurrent_model_calls,
            )
        )

    async def ensure(self, skill: str, digest: str) -> None:
        """Take the work of one skill version, from now on.

        Raises:
            Refusal: the version is gone, was changed, or cannot be loaded.
        """
        queue = ids.SkillQueue(self._home_id, skill, digest)
        if queue in self._running:
            return
        # Before it is its turn: a skill that does not finish loading holds up no other.
        spec = await self._loaded(pinning.locate(self._services.home, skill, digest))
        async with self._turn:
            if queue in self._running:
                return
            self._running[queue] = self._started(
                self._worker(
                    str(queue),
                    workflows=loader.workflows(spec),
                    activities=_activities(spec, self._services, self._inputs),
                    workflow_runner=loader.workflow_runner(),
                    workflow_failure_exception_types=[Exception],
                    **self._special,
                )
            )

    async def _loaded(self, pinned: Pinned) -> SkillSpec:
        """What the version registers. Refusal when it cannot be loaded, or takes too long."""
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._loads, loader.load, pinned)
        except TimeoutError:
            # Its thread goes on: it cannot be ended from outside.
            raise Refusal(
                f"skill {pinned.name!r} did not finish loading within {LOAD_SECONDS:g} s in the worker; "
                "what it prints is in `sagaflow engine logs`"
            ) from None

    async def retire(self, needed: set[tuple[str, str]]) -> None:
        """Stop the workers of skill versions that are not in `needed`, pairs of skill and digest."""
        async with self._turn:
            for queue in [each for each in self._running if (each.skill, each.digest) not in needed]:
                await self._stopped(self._running.pop(queue))
                loader.drop(pinning.locate(self._services.home, queue.skill, queue.digest))

    async def shutdown(self) -> None:
        """Stop them all; steps in flight get `GRACE`."""
        async with self._turn:
            running = [*self._running.values(), *([self._model] if self._model else [])]
            await asyncio.gather(*(self._stopped(each) for each in running))
            self._running.clear()
        for threads in (self._threads, self._inputs, self._loads):
            threads.shutdown(wait=False, cancel_futures=True)

    def _worker(self, queue: str, **special: Any) -> Worker:
        return Worker(
            self._client,
            task_queue=queue,
            # Else half a second of each start goes into a checksum of all modules, which nothing here reads.
            build_id=__version__,
            interceptors=self._interceptors,
            activity_executor=self._threads,
            graceful_shutdown_timeout=GRACE,
            sticky_queue_schedule_to_start_timeout=STICKY_TIMEOUT,
            default_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            **special,
        )

    def _started(self, worker: Worker) -> tuple[Worker, asyncio.Task[None]]:
        task = asyncio.create_task(worker.run(), name=worker.task_queue)
        task.add_done_callback(self._report)
        return worker, task

    def _report(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)

    async def _stopped(self, running: tuple[Worker, asyncio.Task[None]]) -> None:
        worker, task = running
        with suppress(TimeoutError):
            await asyncio.wait_for(worker.shutdown(), STOP_SECONDS)
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task


def _refusal(services: Services, envelope: dict[str, Any], *, is_built: bool = False) -> str:
    """Why the start with `envelope` is not that of an open run; empty where it is, which is kept once it `is_built`."""
    home, run_id, execution = services.home, envelope["run_id"], envelope[interceptors.FIRST_EXECUTION]
    try:
        if not services.is_open(run_id):
            return "this launch was given up, or the run has ended"
        if not execution:
            return ""
        if is_built:
            is_other = not first_execution.keep(home, run_id, execution)
        else:
            is_other = first_execution.known(home, run_id) not in {"", execution}
    except OSError as error:
        return f"the run cannot be written to {home.run(run_id)!r}: {error.strerror or error}"
    if is_other:
        interceptors.refusals.warning("a start sent again by somebody who read it", extra={"workflow_id": run_id})
        return "this start was sent again by somebody who read it"
    return ""


def _activities(spec: SkillSpec, services: Services, threads: concurrent.futures.Executor) -> list[Any]:
    """The skill's own activities, Sagaflow's local ones, and the one that builds its input."""

    @activity.defn(name=interceptors.BUILD_INPUT)
    async def build_input(envelope: dict[str, Any]) -> Any:
        # A start that was given up meanwhile, or that somebody read and sent again, is no open run.
        refusal = await asyncio.to_thread(_refusal, services, envelope)
        if refusal:
            raise interceptors.refused(refusal)
        build = functools.partial(
            contract.build,
            spec,
            run_id=envelope["run_id"],
            run_dir=envelope["run_dir"],
            inbox_path=envelope["inbox_path"],
            arguments=envelope["arguments"],
        )
        try:
            built = await asyncio.get_running_loop().run_in_executor(threads, build)
        except Refusal as error:
            raise interceptors.refused(str(error)) from None
        # Not before: where the skill refuses, the launcher may start it once more, whose answer was lost.
        refusal = await asyncio.to_thread(_refusal, services, envelope, is_built=True)
        if refusal:
            raise interceptors.refused(refusal)
        return built

    built_in = {activities.write_artifact, activities.emit_finding}
    own = [each for each in spec.activities if each not in built_in | MODEL_ACTIVITIES]
    return [*own, *built_in, build_input]
