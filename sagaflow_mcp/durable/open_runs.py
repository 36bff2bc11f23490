"""What becomes of open runs that do not come to an end by themselves.

One whose launcher died before it was started never started. One whose ending a listing missed has ended all the same.
One whose workflow code hangs or kills its worker each time that it runs would be tried again for ever. And one whose
marker was lost gets it back, since the engine stays up for markers.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from temporalio.api.common.v1 import WorkflowExecution as Execution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import WorkflowExecutionStatus
from temporalio.converter import WorkflowSerializationContext
from temporalio.service import RPCError

from sagaflow_mcp import artifacts, ids, markers, own_temporal, records, temporal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from temporalio.api.history.v1 import HistoryEvent
    from temporalio.client import Client, WorkflowExecution, WorkflowExecutionDescription

    from sagaflow_mcp.paths import Home

logger = logging.getLogger(__name__)

ASKED_AFTER = timedelta(seconds=20)
"""How old a marker is before its run is asked for by its id."""

NEVER_STARTED_AFTER = timedelta(seconds=60)
"""How old a marker without an execution is before its run never started: a minute is ample for every launch."""

ASKED_AT_A_TIME = 10
"""How many runs are asked for in one look; the others have their turn in the next ones."""

ADOPT_INTERVAL = timedelta(seconds=60)
"""The pause between two looks for runs without a marker."""

MOST_TASK_ATTEMPTS = 3
"""A workflow task that failed, or took its worker along, so often in a row is not going to succeed."""

HOPELESS = 10
"""So many worker deaths are taken for the fault of a workflow task, or of a step, even if others may be to blame."""

STUCK = "sagaflow has given the run up: "
"""How the reason of a termination begins that stands for a failure of the skill's workflow code."""

KILLS = "its workflow code kills the worker or never yields, each time that it runs"
"""Why a run whose workflow tasks get no answer is given up."""

RECENT_EVENTS = 20
"""How many of a history's last events are read to see why a workflow task fails."""


class Overdue(NamedTuple):
    """What is to be done about an open run: exactly one of the first two."""

    never_started: bool
    closed: WorkflowExecutionDescription | None
    is_left: bool = False
    """Whether the marker is that of a retry whose process died before it had the run go on."""


class OpenRuns:
    """Looks after the open runs of `home` on the Temporal server with the label `server`."""

    def __init__(self, client: Client, home: Home, home_id: str, server: str = own_temporal.EMBEDDED) -> None:
        self._client = client
        self._home = home
        self._home_id = home_id
        self._server = server
        self._next = ""
        self._adopted_at = datetime.fromtimestamp(0, UTC)

    def turn(self, marked: Sequence[records.OpenRun], now: datetime) -> list[records.OpenRun]:
        """Those of `marked`, sorted by run id, that are asked for now; each has its turn."""
        old = [marker for marker in marked if _age(marker, now) >= ASKED_AFTER]
        later = [marker for marker in old if marker.run_id > self._next]
        chosen = [*later, *old][: min(ASKED_AT_A_TIME, len(old))]
        self._next = chosen[-1].run_id if chosen else ""
        return chosen

    async def overdue(self, marker: records.OpenRun, now: datetime) -> Overdue | None:
        """What is to be done about the run of `marker`; None when it goes on, also if it was just given up."""
        try:
            found = await self._client.get_workflow_handle(marker.run_id).describe(rpc_timeout=temporal.RPC_LIMIT)
        except RPCError as error:
            if error.status.name != "NOT_FOUND":
                raise
            return await self._missing(marker, now)
        if ids.SkillQueue.of_home(self._home_id, found.task_queue) is None:
            return await self._missing(marker, now)  # Another home was first to start a run of this id.
        if found.status is not WorkflowExecutionStatus.RUNNING:
            return Overdue(never_started=False, closed=found, is_left=_is_left(marker, found, now))
        attempt = found.raw_description.pending_workflow_task.attempt
        if attempt > MOST_TASK_ATTEMPTS:
            why = await self._why(found)
            # Whose fault it is that workers die is for `recovery` to find out, while that can be found out.
            if why != KILLS or attempt > HOPELESS:
                await give_up(self._client, found, why)
        return None

    async def _missing(self, marker: records.OpenRun, now: datetime) -> Overdue | None:
        """What is to be done about a run that the server does not know."""
        server = await asyncio.to_thread(markers.server, self._home, marker.run_id, self._server)
        # One that was started on another server goes on when config.toml names that again.
        if server != self._server or _age(marker, now) < NEVER_STARTED_AFTER:
            return None
        return Overdue(never_started=True, closed=None)

    async def _why(self, run: WorkflowExecutionDescription) -> str:
        """Why the run's workflow task does not succeed."""
        response = await self._client.workflow_service.get_workflow_execution_history_reverse(
            GetWorkflowExecutionHistoryReverseRequest(
                namespace=self._client.namespace,
                execution=Execution(workflow_id=run.id, run_id=run.run_id),
                maximum_page_size=RECENT_EVENTS,
            ),
            timeout=temporal.RPC_LIMIT,
        )
        for event in response.history.events:
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
                return await self._failure(run, event)
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
                return KILLS
        return "its workflow code does not run"

    async def _failure(self, run: WorkflowExecutionDescription, event: HistoryEvent) -> str:
        context = WorkflowSerializationContext(namespace=self._client.namespace, workflow_id=run.id)
        converter = self._client.data_converter.with_context(context)
        error = await converter.decode_failure(event.workflow_task_failed_event_attributes.failure)
        return f"its workflow code fails each time that it runs: {records.one_line(str(error), 300)}"

    async def adopt(self, now: datetime) -> None:
        """Give a marker to each run of this home that goes on without one."""
        if now - self._adopted_at < ADOPT_INTERVAL:
            return
        self._adopted_at = now
        marked = await asyncio.to_thread(markers.run_ids, self._home)
        condition = f"{temporal.OPEN} AND StartTime < '{(now - NEVER_STARTED_AFTER).isoformat()}'"
        async for execution, queue in temporal.executions(self._client, self._home_id, condition):
            if execution.parent_id or execution.id in marked:
                continue
            if records.is_run_id(execution.id) and await ours(execution):
                logger.warning("%s goes on without a marker; it gets one", execution.id)
                await asyncio.to_thread(self._mark, execution.id, queue)

    def _mark(self, run_id: str, queue: ids.SkillQueue) -> None:
        run_dir = Path(self._home.run(run_id))
        about, ending = (artifacts.read_json(run_dir / name) or {} for name in ("run.json", "ending.json"))
        created_at = str(about.get("created_at") or records.now())
        with suppress(ValueError):  # Damaged, or none: then it has not ended before.
            created_at = markers.after(str(ending.get("closed_at", "")), created_at)
        marker = records.OpenRun(
            run_id=run_id,
            skill=queue.skill,
            digest=queue.digest,
            project_dir=str(about.get("project_dir", "")),
            created_at=created_at,
            arguments_hash=str(about.get("arguments_hash", "")),
            launcher=str(about.get("launcher", "")),
        )
        markers.claim(self._home, marker)


async def give_up(client: Client, run: WorkflowExecutionDescription, reason: str) -> None:
    """End the run as failed, for `reason`."""
    logger.error("%s is given up: %s", run.id, reason)
    with suppress(RPCError):  # It ended meanwhile, or the next look tries again.
        handle = client.get_workflow_handle(run.id, run_id=run.run_id)
        await handle.terminate(reason=f"{STUCK}{reason}", rpc_timeout=temporal.RPC_LIMIT)


def _is_left(marker: records.OpenRun, closed: WorkflowExecutionDescription, now: datetime) -> bool:
    """Whether the run was marked for a retry, long ago, that `closed`, its last execution, shows nothing of."""
    ended = closed.close_time or now
    return ended < datetime.fromisoformat(marker.created_at) and _age(marker, now) >= NEVER_STARTED_AFTER


def _age(marker: records.OpenRun, now: datetime) -> timedelta:
    return now - datetime.fromisoformat(marker.created_at)


async def ours(execution: WorkflowExecution) -> bool:
    """Whether `execution` was started with this home's seal."""
    try:
        return temporal.MEMO in await execution.memo()
    except Exception:  # noqa: BLE001 - a foreign memo may fail to decode in any way
        return False
