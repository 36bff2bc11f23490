"""What becomes of each time at which a schedule is due: Temporal starts a workflow for it, which has it launched."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from temporalio import activity, workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from sagaflow_mcp import (
    faces,
    launch,
    markers,
    schedule_entries,
    schedule_files,
    schedule_server,
    schedules,
    temporal,
)
from sagaflow_mcp.durable.interceptors import refusals, refused
from sagaflow_mcp.errors import Failure, Refusal

if TYPE_CHECKING:
    from temporalio.client import Client, ScheduleDescription

    from sagaflow_mcp.schedule_files import Schedule
    from sagaflow_mcp.settings import Settings

WAIT_SECONDS = 1.0
"""Between two looks at whether the run is over that another one waits for."""

BEAT_SECONDS = 5.0
"""Between two signs of life of what is due."""

PATIENCE = timedelta(minutes=10)
"""How long a launch is tried again at least, where the engine or Temporal does not answer."""

FACE = replace(
    faces.CLI,
    set_key="name a command that prints a key in models.api_key_helper of config.toml, or log in to Claude Code",
    set_api_key="name a command that prints a key in models.api_key_helper of config.toml",
)
"""Whom a refusal of a scheduled launch tells what to do: somebody who was not there."""


@dataclass(frozen=True)
class Due:
    """One time at which something is due."""

    name: str
    stamp: str

    @property
    def run_id(self) -> str:
        """The id of the run that is launched for it."""
        return schedule_files.due_run_id(self.name, self.stamp)


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


class Launches:
    """What one worker launches for the schedules of its home."""

    def __init__(self, client: Client, settings: Settings, home_id: str) -> None:
        self._client = client
        self._settings = settings
        self._home = settings.home
        self._home_id = home_id
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @activity.defn(name="sagaflow_due")
    async def due(self, given: Due) -> str:
        """What came of what is due: launched, failed, skipped, missed, refused, or gone with its schedule.

        Raises:
            ApplicationError: not launched yet, and worth another attempt.
        """
        beating = asyncio.create_task(_beat())
        try:
            while True:
                async with self._turns[given.name]:
                    outcome = await self._dealt_with(given)
                if outcome != schedule_files.WAIT:
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
        if found is not None and found["outcome"] != schedule_files.WAIT:
            return str(found["outcome"])
        # Launched, and cut off before that was written down.
        if found is None and await asyncio.to_thread(markers.was_launched, self._home, given.run_id):
            return self._noted(given, "launched", given.run_id)
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
        found = await asyncio.to_thread(schedule_files.open_runs, home, name)
        open_runs = [each for each in found if each != given.run_id]
        if not open_runs or schedule.overlap == "allow":
            return ""
        if schedule.overlap == "cancel":
            for run_id in open_runs:
                await self._client.get_workflow_handle(run_id).cancel(rpc_timeout=temporal.RPC_LIMIT)
            return ""
        if schedule.overlap == "buffer":
            others = (each for each in schedule_files.stamps(home, name) if each != given.stamp)
            if not any(schedule_files.waits(home, name, each) for each in others):
                return self._noted(given, schedule_files.WAIT)
        entry = schedule_entries.skipped(schedule, given.stamp, open_runs[-1])
        await asyncio.to_thread(schedule_entries.deliver, self._settings, entry)
        return self._noted(given, "skipped")

    async def _launched(self, schedule: Schedule, given: Due) -> str:
        # An attempt before this one may have come so far; the run may even have ended.
        if not await asyncio.to_thread(markers.was_launched, self._home, given.run_id):
            try:
                settings = await asyncio.to_thread(schedules.settings_for, self._settings.environ, schedule)
                await launch.launch(settings, request(schedule, given.run_id))
            except Refusal as error:
                return await self._failed(schedule, given, str(error))
            except Failure as error:
                late = datetime.now(UTC) - schedule_server.moment(given.stamp)
                if late <= max(PATIENCE, timedelta(seconds=schedule.catch_up_seconds)):
                    raise
                return await self._failed(schedule, given, str(error))
        return self._noted(given, "launched", given.run_id)

    async def _failed(self, schedule: Schedule, given: Due, reason: str) -> str:
        entry = schedule_entries.failed(schedule, given.stamp, reason)
        await asyncio.to_thread(schedule_entries.deliver, self._settings, entry)
        return self._noted(given, "failed")

    def _noted(self, given: Due, outcome: str, run_id: str = "") -> str:
        with contextlib.suppress(FileNotFoundError):  # The schedule was removed meanwhile.
            schedule_files.keep_record(self._home, given.name, given.stamp, outcome, run_id)
        return outcome


def request(schedule: Schedule, run_id: str | None = None) -> launch.Request:
    """The launch of what `schedule` names, when nobody is there."""
    return replace(schedules.request(schedule, run_id), face=FACE, unattended=True)


async def _beat() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(BEAT_SECONDS)


def _last_change(found: ScheduleDescription) -> tuple[datetime, datetime | None]:
    return found.info.created_at, found.info.last_updated_at
