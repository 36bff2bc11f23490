"""The steps that workers have held back while a run was paused, and that Temporal has wait for their next attempt."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflowservice.v1 import ResetActivityRequest
from temporalio.service import RPCError

from sagaflow_mcp import temporal
from sagaflow_mcp.durable import context

if TYPE_CHECKING:
    from temporalio.client import Client, WorkflowExecutionDescription

logger = logging.getLogger(__name__)


async def wake(client: Client, workflow_id: str) -> None:
    """Have those of the run `workflow_id`, and of its children, tried at once.

    Where the server cannot do that, or does not answer, they are tried after `context.PAUSED_DELAY`. Never raises.
    """
    try:
        found = await client.get_workflow_handle(workflow_id).describe(rpc_timeout=temporal.RPC_LIMIT)
        await _wake(client, found)
    except RPCError as error:
        logger.info("the steps of %s are not woken: %s", workflow_id, error)
        return
    for child in found.raw_description.pending_children:
        await wake(client, child.workflow_id)


async def _wake(client: Client, run: WorkflowExecutionDescription) -> None:
    for pending in run.raw_description.pending_activities:
        is_waiting = pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
        if is_waiting and pending.last_failure.application_failure_info.type == context.PAUSED:
            request = ResetActivityRequest(
                namespace=client.namespace,
                execution=WorkflowExecution(workflow_id=run.id, run_id=run.run_id),
                identity=client.identity,
                id=pending.activity_id,
            )
            await client.workflow_service.reset_activity(request, timeout=temporal.RPC_LIMIT)
