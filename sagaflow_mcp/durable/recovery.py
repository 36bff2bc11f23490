"""What a new worker does about the steps that a dead one was working on: they start again at once.

Without it Temporal waits for the heartbeat timeout: 10.8 s against 0.7 s until a run moves again (measured).
"""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState, PendingWorkflowTaskState
from temporalio.api.workflowservice.v1 import ResetStickyTaskQueueRequest
from temporalio.converter import WorkflowSerializationContext
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from sagaflow_mcp import ids, lineage, temporal
from sagaflow_mcp.durable import open_runs
from sagaflow_mcp.durable.attempts import Attempts
from sagaflow_mcp.durable.steps import WORKER_DIED

if TYPE_CHECKING:
    from temporalio.api.workflow.v1 import PendingActivityInfo
    from temporalio.client import Client, WorkflowExecutionDescription

    from sagaflow_mcp.paths import Home

OPEN = "ExecutionStatus = 'Running'"
"""The condition of a query for open executions."""

logger = logging.getLogger(__name__)

DEADLY = 4
"""Worker deaths during one step after which the step is taken for their cause.

Fewer than the engine's own limit of five in a row, so that one bad step does not stop the runs of the others.
"""

AT_ONCE = timedelta(milliseconds=50)
"""The pause before a step that was given back starts again, in place of its retry policy's."""


async def open_queues(client: Client, home_id: str) -> list[ids.SkillQueue]:
    """The task queues that open runs of this home need, each once."""
    found: dict[ids.SkillQueue, None] = {}
    query = temporal.of_home(home_id, OPEN)
    async for execution in client.list_workflows(query, rpc_timeout=temporal.RPC_LIMIT):
        queue = ids.SkillQueue.parse(execution.task_queue)
        if queue and queue.home_id == home_id:
            found[queue] = None
    return list(found)


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


async def release(ours: Ours) -> Released:
    """What dead workers left behind, after it was dealt with.

    Only right while no other worker of this lineage can be alive: this process holds the lock that says so. A run whose
    workflow code has killed its workers again and again is given up.
    """
    steps, suspects = 0, False
    query = temporal.of_home(ours.home_id, OPEN)
    async for execution in ours.client.list_workflows(query, rpc_timeout=temporal.RPC_LIMIT):
        queue = ids.SkillQueue.parse(execution.task_queue)
        if queue is None or queue.home_id != ours.home_id:
            continue
        try:
            released = await _release_run(ours, execution.id, execution.run_id)
            steps += released.steps
            suspects |= released.suspects
        except RPCError as error:
            # The run ended meanwhile, or the server is going down; the heartbeat timeout still stands behind this.
            logger.info("could not release the steps of %s: %s", execution.id, error)
    return Released(steps, suspects)


async def _release_run(ours: Ours, workflow_id: str, run_id: str) -> Released:
    client = ours.client
    await client.workflow_service.reset_sticky_task_queue(
        ResetStickyTaskQueueRequest(
            namespace=client.namespace, execution=WorkflowExecution(workflow_id=workflow_id, run_id=run_id)
        ),
        timeout=temporal.RPC_LIMIT,
    )
    description = await client.get_workflow_handle(workflow_id, run_id=run_id).describe(rpc_timeout=temporal.RPC_LIMIT)
    task = description.raw_description.pending_workflow_task
    in_hand = task.attempt if task.state == PendingWorkflowTaskState.PENDING_WORKFLOW_TASK_STATE_STARTED else 0
    if in_hand >= open_runs.MOST_TASK_ATTEMPTS:
        await open_runs.give_up(client, description, open_runs.KILLS)
    dead = [
        pending
        for pending in description.raw_description.pending_activities
        if pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
        and ours.is_dead(pending.last_worker_identity)
    ]
    for pending in dead:
        await _fail(client, ours.home, description, pending)
    return Released(len(dead), suspects=in_hand > 1)


async def _fail(client: Client, home: Home, run: WorkflowExecutionDescription, pending: PendingActivityInfo) -> None:
    root = run.raw_description.workflow_execution_info.root_execution.workflow_id or run.id
    deaths = Attempts(Path(home.run(root)), run.run_id, pending.activity_id).died()
    handle = client.get_async_activity_handle(workflow_id=run.id, run_id=run.run_id, activity_id=pending.activity_id)
    # With the workflow's context: the reason is sealed for that run, else it would not open there.
    bound = handle.with_context(WorkflowSerializationContext(namespace=client.namespace, workflow_id=run.id))
    await bound.fail(
        ApplicationError(
            f"the worker died {deaths} times during this step" if deaths > 1 else "the worker died during this step",
            type=WORKER_DIED,
            next_retry_delay=AT_ONCE,
            non_retryable=deaths >= DEADLY,
        ),
        rpc_timeout=temporal.RPC_LIMIT,
    )
