"""What the worker lets go when no open run needs it: versions of skills that it has loaded, and leftovers on disk."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NoReturn

from temporalio.service import RPCError

from sagaflow_mcp import leftovers, markers, temporal

if TYPE_CHECKING:
    from temporalio.client import Client

    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.skill_workers import SkillWorkers

logger = logging.getLogger(__name__)

RETIRE_SECONDS = 60.0
"""How often skill versions that no run needs are let go."""

CLEAR_INTERVAL = timedelta(hours=1)
"""The pause between two looks for leftovers on the disk."""


async def keep(client: Client, home: Home, home_id: str, workers: SkillWorkers) -> NoReturn:
    """Let go, again and again, until cancelled. Only the worker of the home itself does: others share its folders."""
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
                await _clear(home, found, now)
        except RPCError as error:
            logger.warning("could not look for what no run needs; trying again: %s", error)
        except Exception:
            # A boundary: whatever cannot be let go, the worker's runs go on.
            logger.exception("could not let go what no run needs; trying again")
        await asyncio.sleep(RETIRE_SECONDS)


async def _clear(home: Home, found: leftovers.InUse, now: datetime) -> None:
    dropped = await asyncio.to_thread(leftovers.clear, home, found, now)
    if dropped:
        logger.info("removed old versions of skills that no run needs: %d", dropped)


async def in_use(client: Client, home: Home, home_id: str) -> leftovers.InUse:
    """What is needed by the runs that are marked as open, and by open executions, children among them."""
    # In this order: a run that is launched meanwhile has a marker before it has an execution.
    open_executions = [each async for each in temporal.executions(client, home_id)]
    marked = await asyncio.to_thread(markers.listing, home)
    begun = [execution.start_time for execution, _ in open_executions]
    by_queue = {(queue.skill, queue.digest) for _, queue in open_executions}
    return leftovers.InUse(
        versions=by_queue | {(each.skill, each.digest) for each in marked},
        since=min([*begun, *(datetime.fromisoformat(each.created_at) for each in marked)], default=datetime.now(UTC)),
    )
