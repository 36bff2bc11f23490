"""What the worker does for schedules: launches what is due, and tells of what was missed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from sagaflow_mcp import (
    __version__,
    durations,
    faces,
    inbox,
    launch,
    markers,
    notify,
    records,
    schedule_files,
    schedule_server,
    schedules,
    temporal,
)
from sagaflow_mcp.durable.interceptors import refusals, refused
from sagaflow_mcp.errors import Failure, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from temporalio.client import Client, ScheduleDescription

    from sagaflow_mcp.schedule_files import Schedule
    from sagaflow_mcp.settings import Settings

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""Between two looks at the schedules of the home."""

SYNC_INTERVAL = timedelta(seconds=60)
"""Between two looks at whether Temporal has the same."""

LONG_AGO = datetime.fromtimestamp(0, UTC)

SETTLE = timedelta(seconds=5)
"""How much later than its catch-up window something counts as missed: Temporal may be about to start it."""

STEP = timedelta(seconds=20)
"""How much time at least is looked through for what was missed."""

WAIT_SECONDS = 1.0
"""Between two looks at whether the run is over that another one waits for."""

BEAT_SECONDS = 5.0
"""Between two signs of life of what is due."""

PATIENCE = timedelta(minutes=10)
"""How long a launch is tried again at least, where the engine or Temporal does not answer."""

SHOWN_TIMES = 10
"""How many missed times an entry names."""

FACE = replace(
    faces.CLI,
    set_key="name a command that prints a key in models.api_key_helper of config.toml, or log in to Claude Code",
    set_api_key="name a command that prints a key in models.api_key_helper of config.toml",
)
"""Whom a refusal of a scheduled launch tells what to do: somebody who was not there."""

WAIT = "wait"


@dataclass(frozen=True)
class Due:
    """One time at which something is due."""

    name: str
    stamp: str


@workflow.defn(name=schedule_server.WORKFLOW)
class DueWorkflow:
    """Stands for one time at which something is due, until it is launched or known not to be."""

    @workflow.run
    async def run(self) -> str:
        """What came of it."""
        info = workflow.info()
        called, due = schedule_server.parts(info.workflow_id)
        value = temporal.read_header(info.headers, schedule_server.HEADER_KIND, called)
        if value is None:
            refusals.warning("a start not sealed by this home", extra={"workflow_id": info.workflow_id})
            raise refused("this start was not sealed by the home that it was sent to")
        outcome: str = await workflow.execute_activity(
            "sagaflow_due",
            Due(value["name"], schedule_server.stamp(datetime.fromisoformat(due))),
            result_type=str,
            start_to_close_timeout=timedelta(days=365),
            heartbeat_timeout=timedelta(seconds=4 * BEAT_SECONDS),
            retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=30)),
        )
        return outcome


class Schedules:
    """The schedules of one home, looked after by its worker."""

    def __init__(self, client: Client, settings: Settings, home_id: str) -> None:
        self._client = client
        self._settings = settings
        self._home = settings.home
        self._home_id = home_id
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._synced: dict[str, datetime] = {}
        self._troubles: dict[str, str] = {}
        self._listed_at = LONG_AGO
        self._worker: asyncio.Task[None] | None = None
        self._begun: datetime | None = None

    async def run(self) -> NoReturn:
        """Look after them, again and again, until cancelled; a look that fails is logged and repeated."""
        try:
            while True:
                try:
                    await self.look(datetime.now(UTC))
                except RPCError as error:
                    logger.warning("schedules could not be looked after; trying again: %s", error)
                except Exception:
                    # A boundary: whatever is wrong with schedules, runs go on.
                    logger.exception("schedules could not be looked after; trying again")
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            if self._worker is not None:
                self._worker.cancel()
                await asyncio.gather(self._worker, return_exceptions=True)

    async def look(self, now: datetime) -> None:
        """Have Temporal know the schedules, take what is due, and tell of what was missed until `now`."""
        found = await asyncio.to_thread(schedule_files.listing, self._home)
        if not found and self._worker is None:
            return
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        for schedule in found:
            if now - self._synced.get(schedule.name, LONG_AGO) >= SYNC_INTERVAL:
                with self._apart(schedule):
                    await self._sync(schedule)
                # Also where it failed: a time that Temporal does not take is none a moment later either.
                self._synced[schedule.name] = now
        await self._forget_others({each.name for each in found}, now)
        self._begun = self._begun or now
        if not found or now - self._begun < 2 * SETTLE:
            return  # Temporal is about to start what is still in time; all that is not goes into one entry.
        under_way = await schedule_server.being_started(self._client, self._home_id)
        for schedule in found:
            with self._apart(schedule):
                await self._tell_missed(schedule, now, {stamp for name, stamp in under_way if name == schedule.name})

    @contextlib.contextmanager
    def _apart(self, schedule: Schedule) -> Iterator[None]:
        """Let what is wrong with one schedule, such as a file that was edited by hand, keep no other from its times."""
        try:
            yield
        except RPCError as error:
            if error.status is not RPCStatusCode.INVALID_ARGUMENT:
                raise  # The server: then the whole look is worth repeating.
            self._tell_trouble(schedule.name, error.message)
        except (TypeError, ValueError) as error:
            self._tell_trouble(schedule.name, str(error))

    def _tell_trouble(self, name: str, reason: str) -> None:
        """Log why a schedule cannot be looked after, once for each reason."""
        if self._troubles.get(name) != reason:
            self._troubles[name] = reason
            logger.error("schedule %s cannot be looked after: %s", name, records.one_line(reason))

    async def _work(self) -> None:
        await Worker(
            self._client,
            task_queue=schedule_server.queue(self._home_id),
            build_id=__version__,  # For the reason that is given in `skill_workers`.
            workflows=[DueWorkflow],
            activities=[self.due],
            # Its own code, which waits for one activity.
            workflow_runner=UnsandboxedWorkflowRunner(),
        ).run()

    async def _sync(self, schedule: Schedule) -> None:
        """Have Temporal know the schedule as it is in the home, and as nobody else has changed it."""
        state = await asyncio.to_thread(schedule_files.state, self._home, schedule.name)
        found = await schedule_server.described(self._client, self._home_id, schedule.name)
        if found is not None and schedule_server.fingerprint(found) == state.get("fingerprint"):
            if found.schedule.state.paused != schedule.paused:
                await schedule_server.set_paused(self._client, self._home_id, schedule.name, paused=schedule.paused)
            return
        if found is not None:
            if state.get("fingerprint"):
                logger.warning("schedule %s was changed in Temporal by somebody else; it is put right", schedule.name)
            await schedule_server.delete(self._client, self._home_id, schedule.name)
        state["fingerprint"] = await schedule_server.create(self._client, self._home_id, schedule)
        self._keep_state(schedule.name, state)

    async def _forget_others(self, names: set[str], now: datetime) -> None:
        """Have Temporal forget what is no schedule of the home any more."""
        gone = self._synced.keys() - names
        if gone or now - self._listed_at >= SYNC_INTERVAL:
            self._listed_at = now
            for name in await schedule_server.strangers(self._client, self._home_id, names):
                # It may have been made just now: first it is in the home.
                if await asyncio.to_thread(schedule_files.find, self._home, name) is None:
                    await schedule_server.delete(self._client, self._home_id, name)
        for name in gone:
            self._synced.pop(name)

    async def _tell_missed(self, schedule: Schedule, now: datetime, under_way: set[str]) -> None:
        """Have one inbox entry about what was due before its catch-up window and was not launched, if there is any."""
        home, name = self._home, schedule.name
        state = schedule_files.state(home, name)
        if "telling" not in state:
            looked = datetime.fromisoformat(state.get("looked_until") or schedule.created_at)
            until = now if schedule.paused else now - timedelta(seconds=schedule.catch_up_seconds) - SETTLE
            done = set(schedule_files.stamps(home, name))
            if until - looked < STEP or under_way - done:
                return
            missed: list[str] = []
            if not schedule.paused:
                due = await schedule_server.times(self._client, self._home_id, name, looked, until)
                until = due[-1] if len(due) >= schedule_server.MOST_TIMES else until
                missed = [each for each in map(schedule_server.stamp, due) if self._is_missed(name, each, done)]
            # On disk before it is told: whatever happens in between, the same is told again, which changes nothing.
            state["telling"] = {"until": until.isoformat(), "missed": missed}
            self._keep_state(name, state)
        telling = state.pop("telling")
        if telling["missed"]:
            await asyncio.to_thread(self._deliver, self._missed_entry(schedule, telling["missed"]))
        self._keep_state(name, {**state, "looked_until": telling["until"]})
        self._forget_records(name, schedule_server.stamp(datetime.fromisoformat(telling["until"])))

    def _is_missed(self, name: str, stamp: str, done: set[str]) -> bool:
        if stamp not in done:
            return not self._was_launched(f"{name}-{stamp}")
        return (schedule_files.record(self._home, name, stamp) or {}).get("outcome") == "missed"

    def _forget_records(self, name: str, until: str) -> None:
        for stamp in schedule_files.stamps(self._home, name):
            found = schedule_files.record(self._home, name, stamp) or {}
            if stamp <= until and found.get("outcome") != WAIT:
                with contextlib.suppress(OSError):
                    schedule_files.drop_record(self._home, name, stamp)

    def _keep_state(self, name: str, state: dict[str, Any]) -> None:
        with contextlib.suppress(FileNotFoundError):  # It was removed meanwhile.
            schedule_files.keep_state(self._home, name, state)

    @activity.defn(name="sagaflow_due")
    async def due(self, given: Due) -> str:
        """What came of what is due: launched, failed, skipped, missed or refused.

        Raises:
            ApplicationError: not launched yet, and worth another attempt.
        """
        beating = asyncio.create_task(_beat())
        try:
            while True:
                async with self._turns[given.name]:
                    outcome = await self._dealt_with(given)
                if outcome != WAIT:
                    return outcome
                await asyncio.sleep(WAIT_SECONDS)
        except Failure as error:
            raise ApplicationError(str(error), type="NotYet") from error
        finally:
            beating.cancel()

    async def _dealt_with(self, given: Due) -> str:
        """What came of it; `WAIT` while another run must end first. Failure when it is worth another attempt."""
        schedule = await asyncio.to_thread(schedule_files.find, self._home, given.name)
        if schedule is None or schedule.paused:
            return "gone"
        found = schedule_files.record(self._home, given.name, given.stamp)
        if found is not None and found["outcome"] != WAIT:
            return str(found["outcome"])
        # Launched, and cut off before that was written down.
        if found is None and await asyncio.to_thread(self._was_launched, _run_id(given)):
            return self._noted(given, "launched", _run_id(given))
        if found is None:
            if not await self._is_due(schedule, given.stamp):
                refusals.warning("a start at a time that is none of the schedule's", extra={"workflow_id": given.name})
                return "refused"
            late = datetime.now(UTC) - schedule_server.moment(given.stamp)
            if late > timedelta(seconds=schedule.catch_up_seconds):
                return self._noted(given, "missed")
        outcome = await self._after_others(schedule, given)
        return outcome or await self._launched(schedule, given)

    async def _is_due(self, schedule: Schedule, stamp: str) -> bool:
        """Whether it is a time of the schedule: others can reach the server, too, and have it start workflows."""
        moment, second = schedule_server.moment(stamp), timedelta(seconds=1)
        looked = schedule_files.state(self._home, schedule.name).get("looked_until") or schedule.created_at
        if not datetime.fromisoformat(looked) < moment <= datetime.now(UTC):
            return False
        before = await schedule_server.described(self._client, self._home_id, schedule.name)
        known = schedule_files.state(self._home, schedule.name).get("fingerprint")
        if before is None or (known and schedule_server.fingerprint(before) != known):
            return False
        due = await schedule_server.times(self._client, self._home_id, schedule.name, moment - second, moment)
        # Once more: the times are then those of a schedule that nobody has changed, nor changed and put right.
        after = await schedule_server.described(self._client, self._home_id, schedule.name)
        return moment in due and after is not None and _last_change(after) == _last_change(before)

    async def _after_others(self, schedule: Schedule, given: Due) -> str:
        """What comes of it because an earlier run is open; empty when it is to be launched."""
        home, name = self._home, schedule.name
        open_runs = [each for each in schedule_files.open_runs(home, name) if each != _run_id(given)]
        if not open_runs or schedule.overlap == "allow":
            return ""
        if schedule.overlap == "cancel":
            for run_id in open_runs:
                await self._client.get_workflow_handle(run_id).cancel(rpc_timeout=temporal.RPC_LIMIT)
            return ""
        if schedule.overlap == "buffer":
            waiting = [
                stamp
                for stamp in schedule_files.stamps(home, name)
                if stamp != given.stamp and (schedule_files.record(home, name, stamp) or {}).get("outcome") == WAIT
            ]
            if not waiting:
                return self._noted(given, WAIT)
        await asyncio.to_thread(self._deliver, _skipped_entry(schedule, given, open_runs[-1]))
        return self._noted(given, "skipped")

    async def _launched(self, schedule: Schedule, given: Due) -> str:
        run_id = _run_id(given)
        # An attempt before this one may have come so far; the run may even have ended.
        if not await asyncio.to_thread(self._was_launched, run_id):
            try:
                settings = await asyncio.to_thread(schedules.settings_for, self._settings.environ, schedule)
                await launch.launch(settings, request(schedule, run_id))
            except Refusal as error:
                return await self._failed(schedule, given, str(error))
            except Failure as error:
                late = datetime.now(UTC) - schedule_server.moment(given.stamp)
                if late <= max(PATIENCE, timedelta(seconds=schedule.catch_up_seconds)):
                    raise
                return await self._failed(schedule, given, str(error))
        return self._noted(given, "launched", run_id)

    def _was_launched(self, run_id: str) -> bool:
        return markers.exists(self._home, run_id) or Path(self._home.run(run_id), "ending.json").exists()

    async def _failed(self, schedule: Schedule, given: Due, reason: str) -> str:
        said = f"{_due_text(schedule, given)} could not be launched: {reason}"
        entry = _entry(schedule, _run_id(given), "launch", "FAILED", said)
        await asyncio.to_thread(self._deliver, entry)
        return self._noted(given, "failed")

    def _missed_entry(self, schedule: Schedule, missed: list[str]) -> records.Entry:
        count = f"{len(missed)} launches were" if len(missed) > 1 else "a launch was"
        shown = [f"{schedule_server.moment(stamp):%Y-%m-%d %H:%M:%S}" for stamp in missed]
        more = f"{', '.join(shown[:SHOWN_TIMES])}{' … ' + shown[-1] if len(shown) > SHOWN_TIMES else ''}"
        window = durations.shown(timedelta(seconds=schedule.catch_up_seconds))
        said = (
            f"schedule {schedule.name!r} ({schedule.skill}): {count} missed, due at {more} UTC; no engine was up "
            f"within {window} of that, its catch-up window"
        )
        tail = f"m{missed[0]}{len(missed)}".replace("-", "")
        return _entry(schedule, f"schedule.{schedule.name}", tail, "NOTE", said)

    def _deliver(self, entry: records.Entry) -> None:
        if inbox.deliver(self._home, entry):
            notify.show(self._settings, entry)

    def _noted(self, given: Due, outcome: str, run_id: str = "") -> str:
        with contextlib.suppress(FileNotFoundError):  # The schedule was removed meanwhile.
            schedule_files.keep_record(self._home, given.name, given.stamp, outcome, run_id)
        return outcome


def request(schedule: Schedule, run_id: str | None = None) -> launch.Request:
    """The launch of what `schedule` names."""
    return launch.Request(
        skill=schedule.skill,
        arguments=schedule.arguments,
        run_id=run_id,
        project_dir=schedule.project_dir,
        allow=tuple(schedule.allow),
        face=FACE,
        bundled=schedule.bundled,
        unattended=True,
    )


async def _beat() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(BEAT_SECONDS)


def _run_id(given: Due) -> str:
    return f"{given.name}-{given.stamp}"


def _last_change(found: ScheduleDescription) -> tuple[datetime, datetime | None]:
    return found.info.created_at, found.info.last_updated_at


def _due_text(schedule: Schedule, given: Due) -> str:
    due = f"{schedule_server.moment(given.stamp):%Y-%m-%d %H:%M:%S}"
    return f"schedule {schedule.name!r} ({schedule.skill}), due at {due} UTC,"


def _skipped_entry(schedule: Schedule, given: Due, busy: str) -> records.Entry:
    """One for each run that is in the way, however often."""
    said = f"{_due_text(schedule, given)} is skipped, and what is due next as well, until run {busy} has ended"
    tail = "s" + busy[-15:].replace("-", "")
    return _entry(schedule, f"schedule.{schedule.name}", tail, "NOTE", said)


def _entry(schedule: Schedule, run_id: str, tail: str, status: str, summary: str) -> records.Entry:
    return records.Entry(
        entry_id=f"{run_id}~{tail}",
        run_id=run_id,
        skill=schedule.skill,
        status=status,
        summary=records.one_line(summary, inbox.SUMMARY_LIMIT),
        created_at=records.now(),
        project_dir=schedule.project_dir,
    )
