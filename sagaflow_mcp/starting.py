"""The start of a run in Temporal, answered by the worker: accepted, or refused with the skill's own sentence."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import (
    WithStartWorkflowOperation,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from sagaflow_mcp import ids, temporal, unreachable
from sagaflow_mcp.errors import Failure, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from temporalio.client import Client

PAUSE_SECONDS = 0.2
"""Between two attempts at the same start."""


class Unconfirmed(Failure):
    """The start was sent, but no answer came: the run may be going."""


@dataclass(frozen=True)
class Start:
    """What a run is started with."""

    run_id: str
    workflow_type: str
    task_queue: str
    envelope: Mapping[str, Any]
    execution_timeout: timedelta | None = None
    task_timeout: timedelta | None = None
    """How long a workflow task may take; None for Temporal's own 10 s."""
    skip_time: bool = False
    """Whether its clock jumps over what it waits for, as only a throw-away home's server lets it."""


async def start(client: Client, wanted: Start, seconds: float) -> None:
    """Return once the run is accepted. Sent again while Temporal does not answer: the run id makes that harmless.

    Raises:
        Refusal: the skill refused its arguments, or Temporal the start; nothing of the run remains.
        Unconfirmed: no answer within `seconds`.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    is_first = True
    while (left := deadline - asyncio.get_running_loop().time()) > 0:
        with contextlib.suppress(TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
            try:
                if await asyncio.wait_for(_accepted(client, wanted), left):
                    return
            except RPCError as error:
                # Of a later one it would not say what became of those before.
                if is_first and error.status in unreachable.FORBIDDEN:
                    raise Refusal(f"the Temporal server refuses to start the run: {error.message}") from error
        is_first = False
        await asyncio.sleep(PAUSE_SECONDS)
    raise Unconfirmed(
        f"run {wanted.run_id!r} was sent, but not confirmed within {seconds:g} s; if it starts after all, it is listed "
        "as open, and its ending reaches the inbox"
    )


async def _refuse_foreign(client: Client, wanted: Start) -> None:
    """Return when no other home was first to start a run of this id, which must be left alone; Refusal when one was."""
    queue = ids.SkillQueue.parse(wanted.task_queue)
    if queue is not None:
        await refuse_taken(client, wanted.run_id, queue.home_id)


async def refuse_taken(client: Client, run_id: str, home_id: str) -> None:
    """Return when no other home has started anything under the id `run_id`; Refusal when one has."""
    try:
        found = await client.get_workflow_handle(run_id).describe(rpc_timeout=temporal.RPC_LIMIT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return
        raise Failure(f"the Temporal server does not say whether run {run_id!r} exists: {error.message}") from error
    queue = ids.SkillQueue.parse(found.task_queue)
    if queue is None or queue.home_id != home_id:
        whose = f"the Sagaflow home {queue.home_id}" if queue else "something that is not Sagaflow's"
        raise Refusal(f"run id {run_id!r} is taken on this Temporal server by {whose}; launch under another id")


async def _accepted(client: Client, wanted: Start) -> bool:
    """Whether the run is accepted, now or by an earlier attempt; false when it is to be sent again."""
    try:
        await _attempt(client, wanted)
    except WorkflowAlreadyStartedError:
        await _refuse_foreign(client, wanted)
        return await _was_accepted(client, wanted)
    return True


async def _attempt(client: Client, wanted: Start) -> None:
    operation: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
        wanted.workflow_type,
        id=wanted.run_id,
        task_queue=wanted.task_queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        execution_timeout=wanted.execution_timeout,
        task_timeout=wanted.task_timeout,
        memo={temporal.MEMO: {"skill": wanted.envelope["skill"]}},
    )
    try:
        with temporal.starting_with(wanted.envelope, skip_time=wanted.skip_time):
            await client.execute_update_with_start_workflow(temporal.ACCEPT, start_workflow_operation=operation)
    except (KeyError, RuntimeError):
        # As the SDK fails at a refusal that is sealed by somebody else.
        await _refuse_foreign(client, wanted)
        raise
    except WorkflowUpdateFailedError as error:
        await _refuse_foreign(client, wanted)
        if not isinstance(error.cause, ApplicationError) or error.cause.type != temporal.REFUSED:
            # The run itself failed before it could answer; that is an ending, and endings are told by the inbox.
            return
        await _forget(client, wanted.run_id)
        raise Refusal(error.cause.message) from None
    finally:
        # The SDK keeps an error in a future besides, and asyncio prints with its trace what nobody takes from one.
        with contextlib.suppress(Exception):
            await asyncio.wait_for(operation.workflow_handle(), PAUSE_SECONDS)


async def _was_accepted(client: Client, wanted: Start) -> bool:
    """Whether the closed execution of this id was a run; what is left of a refused start is cleared away."""
    try:
        await client.get_workflow_handle(wanted.run_id).result(follow_runs=False, rpc_timeout=temporal.RPC_LIMIT)
    except WorkflowFailureError as error:
        if isinstance(error.cause, ApplicationError) and error.cause.type == temporal.REFUSED:
            await _forget(client, wanted.run_id)
            return False
    return True


async def _forget(client: Client, run_id: str) -> None:
    request = DeleteWorkflowExecutionRequest(
        namespace=client.namespace, workflow_execution=WorkflowExecution(workflow_id=run_id)
    )
    try:
        await client.workflow_service.delete_workflow_execution(request, timeout=temporal.RPC_LIMIT)
    except RPCError:
        # It is closed and marked as refused: nothing lists it, and retention removes it.
        return
