"""The one deliverer of endings: what Temporal says has closed goes to the inbox, once."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import ApplicationError, TerminatedError
from temporalio.service import RPCError

from sagaflow_mcp import (
    artifacts,
    authorship,
    ids,
    inbox,
    markers,
    notify,
    pauses,
    pinning,
    questions,
    records,
    temporal,
    unreachable,
)
from sagaflow_mcp.durable import notices, reasons
from sagaflow_mcp.durable.open_runs import STUCK, OpenRuns, ours
from sagaflow_mcp.reports import plain, result_text

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from temporalio.client import Client, WorkflowExecution

    from sagaflow_mcp.connection import Connection
    from sagaflow_mcp.durable.context import Services

logger = logging.getLogger(__name__)

OVERLAP = timedelta(seconds=60)
"""How far before its watermark each look reaches back; visibility lags by under 60 ms on the embedded server."""

WATERMARK_STEP = timedelta(seconds=20)
"""How far time goes on before the watermark follows; well under `OVERLAP`, and what is seen twice is delivered once."""

OPEN_INTERVAL = 1.0
"""Seconds between looks while a run is open."""

BUSY_INTERVAL = 0.1
"""Seconds between looks for a moment after a step has ended, when an ending is likely."""

IDLE_INTERVAL = 10.0
"""Seconds between looks while no run is open."""

BUSY_LOOKS = 15
"""How many looks follow a step at `BUSY_INTERVAL`."""

ORPHANED_AFTER = timedelta(seconds=30)
"""How long after a refused start its launcher takes the marker away at the latest, if it lives."""

UNLOADABLE = "sagaflow cannot load the skill: "
"""How the reason of a termination begins that stands for a failure to load."""

NEVER_STARTED = "the run never started"
"""Why a run has no execution: its launcher died too early."""

FORGOTTEN = "Temporal no longer has the run: how it ended is not known"
"""Why a run that took steps has no execution: it was deleted, or ended so long ago that it was not kept."""

STATUS = {
    WorkflowExecutionStatus.COMPLETED: "DONE",
    WorkflowExecutionStatus.FAILED: "FAILED",
    WorkflowExecutionStatus.CANCELED: "CANCELLED",
    WorkflowExecutionStatus.TERMINATED: "TERMINATED",
    WorkflowExecutionStatus.TIMED_OUT: "TIMED_OUT",
}


@dataclass(frozen=True)
class Ending:
    """How a run ended, as Temporal tells it."""

    run_id: str
    temporal_run_id: str
    skill: str
    status: str
    reason: str
    """Why, where it did not complete; one line."""
    result: Any
    """What the workflow returned, where it completed."""
    closed_at: str
    traceback: str = ""
    """Through the skill's own files, where its code raised."""


class Reconciler:
    """Looks for closed executions of this home and delivers their endings."""

    def __init__(self, client: Client, services: Services, home_id: str, server: Connection) -> None:
        self._client = client
        self._services = services
        self._home = services.home
        self._home_id = home_id
        self._state = Path(self._home.engine) / "reconciler.json"
        self._watermark = _read_watermark(self._state)
        self._server = server
        self._open_runs = OpenRuns(client, self._home, home_id, server.label)
        self._wake = asyncio.Event()
        self._busy = 0
        self.open_runs: int | None = None
        """Markers at the last look; None before that."""
        self.trouble = ""
        """Why the server did not answer at the last look; empty when it did."""

    def nudge(self) -> None:
        """Look sooner: a step has just ended. Callable from the event loop's thread only."""
        self._busy = BUSY_LOOKS
        self._wake.set()

    async def run(self) -> None:
        """Look and deliver until cancelled; a look that fails is logged and repeated."""
        while True:
            try:
                await self.look()
                self.trouble = ""
            except RPCError as error:
                sentence = unreachable.sentence(self._server, error)
                if sentence != self.trouble:
                    logger.warning("%s; trying again", sentence)
                self.trouble = sentence
            except Exception:
                # A boundary: whatever is wrong with one ending, the worker's runs go on, and the next look tries again.
                logger.exception("could not look for endings; trying again")
            self._wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._interval())

    def _interval(self) -> float:
        if self._busy and self.open_runs:
            self._busy -= 1
            # Not woken by further steps meanwhile: a fan-out would otherwise look after every one of them.
            return BUSY_INTERVAL
        return OPEN_INTERVAL if self.open_runs else IDLE_INTERVAL

    async def look(self) -> None:
        """Deliver every ending since the watermark, then settle markers that nothing accounts for."""
        began = datetime.now(UTC)
        since = self._watermark - OVERLAP
        closed = temporal.executions(self._client, self._home_id, f"CloseTime >= '{since.isoformat()}'")
        async for execution, _ in closed:
            await _apart(self._settle(execution))
        for marker in self._open_runs.turn(await asyncio.to_thread(markers.listing, self._home), began):
            await _apart(self._settle_marker(marker, began))
        await self._open_runs.adopt(began)
        await self._move_watermark(began)
        still_open = await asyncio.to_thread(markers.run_ids, self._home)
        for run_id in still_open:
            await asyncio.to_thread(notices.collect, self._services.settings, run_id)
        self._services.credentials.prune(still_open)
        self.open_runs = len(still_open)

    async def _move_watermark(self, now: datetime) -> None:
        if now - self._watermark >= WATERMARK_STEP:
            await asyncio.to_thread(artifacts.write_json, self._state, {"watermark": now.isoformat()})
            self._watermark = now

    async def _settle_marker(self, marker: records.OpenRun, now: datetime) -> None:
        """Account for a run that is open for long: a listing can miss what a look by id does not."""
        overdue = await self._open_runs.overdue(marker, now)
        if overdue is None:
            return
        if overdue.closed is not None:
            await self._settle(overdue.closed)
            if overdue.is_left and await asyncio.to_thread(markers.find, self._home, marker.run_id) == marker:
                await asyncio.to_thread(markers.remove, self._home, marker.run_id)
            return
        has_begun = (Path(self._home.run(marker.run_id)) / artifacts.TRANSCRIPT).exists()
        reason = FORGOTTEN if has_begun else NEVER_STARTED
        ending = Ending(marker.run_id, "never000", marker.skill, "FAILED", reason, None, records.now())
        await asyncio.to_thread(self._deliver, ending)

    async def _settle(self, execution: WorkflowExecution) -> None:
        queue = ids.SkillQueue.of_home(self._home_id, execution.task_queue)
        status = STATUS.get(execution.status) if execution.status else None
        if queue is None or status is None or execution.parent_id:
            return
        if inbox.has(self._home, _entry_id(execution.id, execution.run_id)):
            await asyncio.to_thread(markers.remove_until, self._home, execution.id, _closed_at(execution))
            return
        if not await ours(execution):
            return
        ending = await self._ending(execution, queue, status)
        if ending is not None:
            await asyncio.to_thread(self._deliver, ending)
        self._services.servers.end(execution.id)
        self._services.calls.end(execution.id)

    async def _ending(self, execution: WorkflowExecution, queue: ids.SkillQueue, status: str) -> Ending | None:
        """What happened; None for a start that was refused, which its launcher was told."""
        result, reason, traceback = None, "", ""
        handle = self._client.get_workflow_handle(execution.id, run_id=execution.run_id)
        try:
            result = plain(await handle.result(follow_runs=False, rpc_timeout=temporal.RPC_LIMIT))
        except WorkflowFailureError as error:
            if (
                isinstance(error.cause, ApplicationError)
                and error.cause.type == temporal.REFUSED
                and not await self._orphaned(execution)
            ):
                return None
            reason = reasons.sentence(error.cause)
            traceback = reasons.traceback(error.cause, self._author_folder(queue))
            if isinstance(error.cause, TerminatedError) and reason.startswith((UNLOADABLE, STUCK)):
                status = "FAILED"
        except Exception as error:  # noqa: BLE001 - a result that does not decode must still end the run visibly
            reason = f"the result cannot be read: {records.one_line(str(error))}"
        closed_at = _closed_at(execution)
        return Ending(execution.id, execution.run_id, queue.skill, status, reason, result, closed_at, traceback)

    def _author_folder(self, queue: ids.SkillQueue) -> Path:
        """Where the author keeps the skill."""
        code = pinning.locate(self._home, queue.skill, queue.digest).code
        return Path(authorship.author_path(str(code / "__init__.py"))).parent

    async def _orphaned(self, execution: WorkflowExecution) -> bool:
        """Whether a refused start still has its marker long after: then its launcher died before it could say so."""
        now = datetime.now(UTC)
        is_old = now - (execution.close_time or now) > ORPHANED_AFTER
        # Not where the run was marked later: it is being retried, and what was refused was no start of ours.
        is_since = await asyncio.to_thread(markers.is_since, self._home, execution.id, _closed_at(execution))
        return is_old and not is_since and await asyncio.to_thread(markers.exists, self._home, execution.id)

    def _deliver(self, ending: Ending) -> None:
        run_dir = Path(self._home.run(ending.run_id))
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        notices.collect(self._services.settings, ending.run_id)
        about = artifacts.read_json(run_dir / "run.json") or {}
        summary = _summary(ending, artifacts.read_json(run_dir / "finding.json"))
        entry = records.Entry(
            entry_id=_entry_id(ending.run_id, ending.temporal_run_id),
            run_id=ending.run_id,
            skill=ending.skill,
            status=ending.status,
            summary=records.one_line(summary),
            created_at=records.now(),
            report_path=str(_report(run_dir, ending)),
            project_dir=str(about.get("project_dir", "")),
        )
        artifacts.write_json(
            run_dir / "ending.json",
            {
                "entry_id": entry.entry_id,
                "status": ending.status,
                "summary": entry.summary,
                "result": ending.result,
                "closed_at": ending.closed_at,
                "temporal_run_id": ending.temporal_run_id,
            },
        )
        self._close_questions(ending.run_id, run_dir)
        if (run_dir / artifacts.TRANSCRIPT).exists():
            artifacts.note_event(run_dir, "run_ended", label=ending.status)
        self._end_pause(ending.run_id, run_dir)
        is_new = inbox.deliver(self._home, entry)
        # Before the system shows it: whoever hears of an ending and acts on it is not to find the run marked as open.
        markers.remove(self._home, ending.run_id)
        if is_new:
            notify.show(self._services.settings, entry)
        logger.info("%s ended: %s", ending.run_id, ending.status)

    def _end_pause(self, run_id: str, run_dir: Path) -> None:
        """A run that has ended is not paused: it was cancelled, say, or its last step failed."""
        since = pauses.since(run_dir)
        if since:
            pauses.remove(run_dir)
            inbox.close(self._home, pauses.entry_id(run_id, since))

    def _close_questions(self, run_id: str, run_dir: Path) -> None:
        """Ask no more what the run had no time to take back, such as where it was terminated."""
        for asked in questions.listing(run_dir):
            inbox.close(self._home, f"{run_id}~{asked.id}")
            questions.remove(run_dir, asked.id)


def _closed_at(execution: WorkflowExecution) -> str:
    closed = execution.close_time or datetime.now(UTC)
    return closed.isoformat().replace("+00:00", "Z")


async def _apart(work: Coroutine[Any, Any, None]) -> None:
    """Settle one run. Whatever is wrong with it is logged, and keeps no other run's ending back."""
    try:
        await work
    except RPCError:
        raise  # The server: then the whole look is worth repeating.
    except Exception:
        logger.exception("an ending could not be settled; trying again")


def _read_watermark(path: Path) -> datetime:
    with suppress(ValueError, KeyError, TypeError):
        return datetime.fromisoformat((artifacts.read_json(path) or {})["watermark"])
    return datetime(1970, 1, 2, tzinfo=UTC)


def _entry_id(run_id: str, temporal_run_id: str) -> str:
    return f"{run_id}~{temporal_run_id[-8:]}"


def _summary(ending: Ending, staged: dict[str, Any] | None) -> str:
    if ending.status != "DONE":
        return ending.reason or ending.status
    if staged:
        said = str(staged.get("status", "DONE"))
        summary = str(staged.get("summary", ""))
        return summary if said == "DONE" else f"{said} (said the skill): {summary}"
    return result_text(ending.result).strip() or "finished without a result"


def _is_made(path: Path, run_id: str) -> bool:
    """Whether the report is not the skill's own but told of an ending before, after which the run was retried."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline().startswith(f"# {run_id}: ")
    except OSError:
        return False


def _report(run_dir: Path, ending: Ending) -> Path:
    """The run's report: the skill's own `report.md`, else one made from the result or the reason."""
    path = run_dir / artifacts.REPORT
    if path.exists() and not path.is_file():
        return path  # A folder, say: the ending is told all the same.
    if not path.exists() or _is_made(path, ending.run_id):
        body = result_text(ending.result) if ending.status == "DONE" else ending.reason
        if ending.traceback:
            body += f"\n\n```\n{ending.traceback}\n```"
        artifacts.write(run_dir, artifacts.REPORT, f"# {ending.run_id}: {ending.status}\n\n{body}\n")
    return path
