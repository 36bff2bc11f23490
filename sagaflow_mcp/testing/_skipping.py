"""Time skipping: the server lets a run's clock jump over whatever the run only waits for.

Each run, and each child, has a clock of its own. It does not jump while a step, a model call or a child is at work, so
none of those can run into a timeout by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.to_thread
from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflow.v1 import WorkflowExecutionOptions
from temporalio.api.workflowservice.v1 import UpdateWorkflowExecutionOptionsRequest
from temporalio.service import RPCError, RPCStatusCode

from sagaflow_mcp import engine_client, markers, temporal

if TYPE_CHECKING:
    from temporalio.client import Client

    from sagaflow_mcp.settings import Settings


async def begin(settings: Settings, run_id: str) -> None:
    """Skip what the run waits for from now on, and what children of it do; nothing where it has ended.

    Raises:
        Failure: the engine does not answer, or Temporal cannot be reached.
        RPCError: Temporal refuses.
    """
    marker = markers.find(settings.home, run_id)
    if marker is None:
        return
    # With the skill's name, as at a launch: the worker then looks for endings at shorter intervals.
    address = await anyio.to_thread.run_sync(
        lambda: engine_client.ready(
            settings.home, skill=marker.skill, digest=marker.digest, environ=settings.for_engine()
        )
    )
    await _begin(await temporal.connect(settings.home, address), run_id)


async def _begin(client: Client, workflow_id: str) -> None:
    request = UpdateWorkflowExecutionOptionsRequest(
        namespace=client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=workflow_id),
        workflow_execution_options=WorkflowExecutionOptions(time_skipping_config=temporal.SKIP_TIME),
        update_mask=FieldMask(paths=["time_skipping_config"]),
    )
    try:
        await client.workflow_service.update_workflow_execution_options(request, timeout=temporal.RPC_LIMIT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return  # It has ended.
        raise
    # Those that it starts later have it from their parent.
    described = await client.get_workflow_handle(workflow_id).describe(rpc_timeout=temporal.RPC_LIMIT)
    for child in described.raw_description.pending_children:
        await _begin(client, child.workflow_id)
