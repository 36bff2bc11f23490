"""What is let go when nobody needs it: versions of skills that the worker has loaded, old runs, leftovers on disk."""

from __future__ import annotations

import asyncio
import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.service import RPCError, RPCStatusCode

from sagaflow_mcp import leftovers, markers, paths, processes, retention, temporal, unreachable
from sagaflow_mcp.errors import Failure
from sagaflow_mcp.retention import Freed

if TYPE_CHECKING:
    from temporalio.client import Client

    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.settings import Settings
    from sagaflow_mcp.skill_workers import SkillWorkers

logger = logging.getLogger(__name__)

RETIRE_SECONDS = 60.0
"""How often skill versions that no run needs are let go."""

LOCK_SECONDS = 5.0
"""How long another process that clears the home is waited for."""

FORGET_SECONDS = 90.0
"""How long Temporal may take to forget runs: the embedded server takes half a minute, whatever their number."""

FORGET_LOOK_SECONDS = 0.5
"""Between two looks at whether it has."""

MOST_AT_ONCE = 1_000
"""How many runs go at a time; the others have their turn an hour later."""

CLEAR_INTERVAL = timedelta(hours=1)
"""The pause between two looks for leftovers on the disk."""


async def keep(client: Client, settings: Settings, home_id: str, workers: SkillWorkers) -> NoReturn:
    """Let go, again and again, until cancelled. Only the worker of the home itself does: others share its folders."""
    home = settings.home
    previous: leftovers.InUse | None = None
    cleared_at = datetime.fromtimestamp(0, UTC)
    while True:
        try:
            found = await in_use(client, home, home_id)
            # Two rounds in a row without need: a version that was just launched is never let go.
            if previous is not None:
                await workers.retire({*found.versions, *previous.versions})
            previous = found
            now = datetime.now(UTC)
            if now - cleared_at >= CLEAR_INTERVAL:
                cleared_at = now
                await _clear(client, settings, home_id, now)
        except (Failure, RPCError) as error:
            logger.warning("could not look for what no run needs; trying again: %s", error)
        except Exception:
            # A boundary: whatever cannot be let go, the worker's runs go on.
            logger.exception("could not let go what no run needs; trying again")
        await asyncio.sleep(RETIRE_SECONDS)


async def _clear(client: Client, settings: Settings, home_id: str, now: datetime) -> None:
    freed = await collect(client, settings, home_id, now)
    if any(freed):
        logger.info("removed what is kept no longer: %s", freed)


async def collect(
    client: Client,
    settings: Settings,
    home_id: str,
    now: datetime,
    *,
    older_than: timedelta | None = None,
    dry_run: bool = False,
) -> Freed:
    """What was removed of what nobody needs any more, or with `dry_run` would be.

    Args:
        client: of the server that says what is open.
        settings: the home, and how long things are kept.
        home_id: the home's.
        now: what ages are counted to.
        older_than: how long ended runs are kept instead.
        dry_run: whether it is only counted.

    Raises:
        Failure: it is under way in another process, or the inbox cannot be changed.
        RPCError: the server does not answer.
        OSError: the home cannot be read or changed.
    """
    home = settings.home
    lock = await asyncio.to_thread(processes.acquire, str(Path(home.engine, "gc.lock")), LOCK_SECONDS)
    if lock is None:
        raise Failure("the home is being cleared by another process already; try again in a moment")
    try:
        found = await in_use(client, home, home_id)
        before = now - max(older_than or timedelta(days=settings.keep_runs_days), retention.LEAST)
        expired = await asyncio.to_thread(retention.expired, home, found.runs, before)
        owners = {run_id: await _owners(client, run_id) for run_id in expired[:MOST_AT_ONCE]}
        freed = Freed()
        payloads = await asyncio.to_thread(retention.payloads, home) if owners else {}
        for run_id in owners if dry_run else await _forgotten(client, home, owners):
            act = retention.counted if dry_run else retention.remove
            blobs = retention.payloads_of(payloads, owners[run_id])
            freed = retention.added(freed, await asyncio.to_thread(act, home, run_id, blobs))
        freed = freed._replace(left=len(expired) - len(freed.runs))
        return retention.added(freed, await asyncio.to_thread(_rest, settings, found, now, before, dry_run=dry_run))
    finally:
        os.close(lock)


def _rest(settings: Settings, found: leftovers.InUse, now: datetime, before: datetime, *, dry_run: bool) -> Freed:
    """What belongs to no run that is there."""
    freed = Freed()
    home, logs = settings.home, now - timedelta(days=settings.keep_logs_days)
    for more in (
        retention.drop_notes(home, before, dry_run=dry_run),
        retention.drop_logs(home, logs, dry_run=dry_run),
        leftovers.clear(home, found, now, settings.history, dry_run=dry_run),
    ):
        freed = retention.added(freed, more)
    if not dry_run:
        paths.clear_drafts(home)
    return freed


async def _owners(client: Client, run_id: str) -> set[str]:
    """The executions of the run `run_id`, as far as Temporal still knows them."""
    children = f"RootWorkflowId = '{run_id}'"
    return {run_id, *[each.id async for each in client.list_workflows(children, rpc_timeout=temporal.RPC_LIMIT)]}


async def _forgotten(client: Client, home: Home, owners: dict[str, set[str]]) -> list[str]:
    """Those of the runs, each given with its executions, that Temporal has forgotten now.

    First of all, so that no ending is told again once its entry is gone, nor taken for that of a later run of its id.
    """
    left: dict[str, list[str]] = {}
    for run_id, ids in owners.items():
        # Looked at once more: with many runs it is a while since, and a retry needs what would be forgotten.
        if not await asyncio.to_thread(markers.exists, home, run_id):
            left[run_id] = [each for each in ids if await _forget(client, each)]
    deadline = asyncio.get_running_loop().time() + FORGET_SECONDS
    while any(left.values()) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(FORGET_LOOK_SECONDS)
        left = {run_id: [each for each in ids if await _is_known(client, each)] for run_id, ids in left.items()}
    return [run_id for run_id, ids in left.items() if not ids]


async def _forget(client: Client, workflow_id: str) -> bool:
    """Whether Temporal has something to forget of `workflow_id`, which it now begins to."""
    request = DeleteWorkflowExecutionRequest(
        namespace=client.namespace, workflow_execution=WorkflowExecution(workflow_id=workflow_id)
    )
    try:
        await client.workflow_service.delete_workflow_execution(request, timeout=temporal.RPC_LIMIT)
    except RPCError as error:
        # Where it may not be deleted, the server forgets it in its own time.
        if error.status in {RPCStatusCode.NOT_FOUND, *unreachable.FORBIDDEN}:
            return False
        raise
    return True


async def _is_known(client: Client, workflow_id: str) -> bool:
    try:
        await client.get_workflow_handle(workflow_id).describe(rpc_timeout=temporal.RPC_LIMIT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True


async def in_use(client: Client, home: Home, home_id: str) -> leftovers.InUse:
    """What is needed by the runs that are marked as open, and by open executions, children among them."""
    # In this order: a run that is launched meanwhile has a marker before it has an execution.
    open_executions = [each async for each in temporal.executions(client, home_id)]
    marked = await asyncio.to_thread(markers.listing, home)
    begun = [execution.start_time for execution, _ in open_executions]
    by_queue = {(queue.skill, queue.digest) for _, queue in open_executions}
    return leftovers.InUse(
        versions=by_queue | {(each.skill, each.digest) for each in marked},
        runs={each.run_id for each in marked}
        | {name for execution, _ in open_executions for name in (execution.id, execution.root_id) if name},
        since=min([*begun, *(datetime.fromisoformat(each.created_at) for each in marked)], default=datetime.now(UTC)),
    )
