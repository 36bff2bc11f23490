"""What a new worker does about the steps that a dead one was working on: they start again at once.

Without it Temporal waits for the heartbeat timeout: 10.8 s against 0.7 s until a run moves again (measured).
"""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from temporalio.api.common.v1 import WorkflowExecution as Execution
from temporalio.api.enums.v1 import PendingActivityState, PendingWorkflowTaskState
from temporalio.api.workflowservice.v1 import ResetStickyTaskQueueRequest
from temporalio.converter import WorkflowSerializationContext
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from sagaflow_mcp import artifacts, ids, lineage, temporal
from sagaflow_mcp.durable import open_runs, steps
from sagaflow_mcp.durable.attempts import Attempts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from temporalio.api.workflow.v1 import PendingActivityInfo
    from temporalio.client import Client, WorkflowExecution, WorkflowExecutionDescription

    from sagaflow_mcp.paths import Home

logger = logging.getLogger(__name__)

DEADLY = steps.SUSPICIOUS + 1
"""Worker deaths during one step after which it is taken for their cause, if nothing else can be it."""

AT_ONCE = timedelta(milliseconds=50)
"""The pause before a step that was given back starts again, in place of its retry policy's."""


async def open_queues(client: Client, home_id: str) -> list[ids.SkillQueue]:
    """The task queues that open runs of this home need, each once."""
    return list(dict.fromkeys([queue async for _, queue in temporal.executions(client, home_id)]))


class Ours(NamedTuple):
    """Whose dead workers are meant: those of one home on this machine."""

    client: Client
    """With the home's seal."""
    home: Home
    """Where the runs' journals are."""
    home_id: str
    lineage: str
    alive: str
    """The identity of the worker that calls, which is the only one of its lineage that lives."""

    def is_dead(self, identity: str) -> bool:
        """Whether the worker called `identity` is known to be dead. One on another machine never is."""
        return identity.startswith(lineage.prefix(self.home_id, self.lineage)) and identity != self.alive


class Released(NamedTuple):
    """What dead workers left behind."""

    steps: int
    """How many steps were given back to Temporal, which starts them again at once."""
    suspects: bool
    """Whether more than once a worker died in the middle of a run's workflow code."""
    closer: bool
    """Whether what kills the workers is known better than before: something was ended or newly suspected for it."""


class _Run(NamedTuple):
    """A run as a dead worker left it."""

    description: WorkflowExecutionDescription
    tasks_in_hand: int
    """How often its present workflow task was begun; 0 when a worker was not at it."""
    lost: list[_Lost]


class _Lost(NamedTuple):
    """A step that a dead worker had."""

    run: WorkflowExecutionDescription
    pending: PendingActivityInfo
    attempts: Attempts

    @property
    def was_begun(self) -> bool:
        """Whether the worker was at it, rather than about to be."""
        return self.attempts.is_begun_by(self.pending.last_worker_identity)


async def release(ours: Ours) -> Released:
    """What dead workers left behind, after it was dealt with.

    Only right while no other worker of this lineage can be alive: this process holds the lock that says so. A run whose
    workflow code or whose step has killed its workers again and again is given up.
    """
    found = [each async for each in _left(ours)]
    lost = [each for run in found for each in run.lost]
    begun = [each for each in lost if each.was_begun]
    # Of a step and a task that were both in hand each time, either may be the cause. Then no one is blamed: the next
    # worker tries the task first, while such steps wait.
    tasks_may_be_blamed = not any(each.attempts.deaths() >= steps.SUSPICIOUS for each in begun)
    _tell_deaths(ours.home, begun)
    suspects = any(run.tasks_in_hand > 1 for run in found)
    closer = False
    for run in found:
        if run.tasks_in_hand >= (open_runs.MOST_TASK_ATTEMPTS if tasks_may_be_blamed else open_runs.HOPELESS):
            await open_runs.give_up(ours.client, run.description, open_runs.KILLS)
            closer = True
    for each in lost:
        closer |= await _give_back(ours.client, each, may_be_blamed=begun == [each] and not suspects)
    return Released(len(lost), suspects=suspects, closer=closer)


def _tell_deaths(home: Home, begun: list[_Lost]) -> None:
    """Write into the transcripts of the runs that workers have died in the middle of their steps."""
    for run_id, worker in dict.fromkeys((_root(each.run), each.pending.last_worker_identity) for each in begun):
        artifacts.note_event(Path(home.run(run_id)), "worker_died", worker=worker)


def _root(run: WorkflowExecutionDescription) -> str:
    """The id of the run that an execution, perhaps a child's, belongs to."""
    return run.raw_description.workflow_execution_info.root_execution.workflow_id or run.id


async def _left(ours: Ours) -> AsyncIterator[_Run]:
    """The open runs of this home, each free for another worker than the one that had it in memory."""
    async for execution, _ in temporal.executions(ours.client, ours.home_id):
        try:
            await _unstick(ours.client, execution)
            handle = ours.client.get_workflow_handle(execution.id, run_id=execution.run_id)
            yield _run(ours, await handle.describe(rpc_timeout=temporal.RPC_LIMIT))
        except RPCError as error:
            # The run ended meanwhile, or the server is going down; the heartbeat timeout still stands behind this.
            logger.info("could not release the steps of %s: %s", execution.id, error)


async def _unstick(client: Client, run: WorkflowExecution) -> None:
    execution = Execution(workflow_id=run.id, run_id=run.run_id)
    request = ResetStickyTaskQueueRequest(namespace=client.namespace, execution=execution)
    await client.workflow_service.reset_sticky_task_queue(request, timeout=temporal.RPC_LIMIT)


def _run(ours: Ours, description: WorkflowExecutionDescription) -> _Run:
    raw = description.raw_description
    task = raw.pending_workflow_task
    is_in_hand = task.state == PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED
    lost = [
        _Lost(
            description,
            pending,
            Attempts(Path(ours.home.run(_root(description))), description.run_id, pending.activity_id),
        )
        for pending in raw.pending_activities
        if pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
        and ours.is_dead(pending.last_worker_identity)
    ]
    return _Run(description, task.attempt if is_in_hand else 0, lost)


async def _give_back(client: Client, lost: _Lost, *, may_be_blamed: bool) -> bool:
    """Have the step started again, or end it: whether more is known of what kills the workers."""
    was_begun = lost.was_begun
    deaths = lost.attempts.died() if was_begun else lost.attempts.deaths()
    is_over = was_begun and deaths >= (DEADLY if may_be_blamed else open_runs.HOPELESS)
    often = f"{deaths} times " if deaths > 1 else ""
    handle = client.get_async_activity_handle(
        workflow_id=lost.run.id, run_id=lost.run.run_id, activity_id=lost.pending.activity_id
    )
    # With the workflow's context: the reason is sealed for that run, else it would not open there.
    bound = handle.with_context(WorkflowSerializationContext(namespace=client.namespace, workflow_id=lost.run.id))
    try:
        await bound.fail(
            ApplicationError(
                f"the worker died {often}during this step",
                type=steps.WORKER_DIED,
                next_retry_delay=AT_ONCE,
                non_retryable=is_over,
            ),
            rpc_timeout=temporal.RPC_LIMIT,
        )
    except RPCError as error:
        logger.info("could not release a step of %s: %s", lost.run.id, error)
    return was_begun and (is_over or deaths == steps.SUSPICIOUS)
