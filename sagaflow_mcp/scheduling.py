"""The keeper of the schedules in the worker: Temporal has them as the home does, and what was missed is told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from sagaflow_mcp import __version__, markers, records, schedule_entries, schedule_files, schedule_server
from sagaflow_mcp.schedule_launches import DueWorkflow, Launches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from temporalio.client import Client

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


class Schedules:
    """The schedules of one home, looked after by its worker."""

    def __init__(self, client: Client, settings: Settings, home_id: str) -> None:
        self._client = client
        self._settings = settings
        self._home = settings.home
        self._home_id = home_id
        self._launches = Launches(client, settings, home_id)
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
            activities=[self._launches.due],
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
            entry = schedule_entries.missed(schedule, telling["missed"])
            await asyncio.to_thread(schedule_entries.deliver, self._settings, entry)
        self._keep_state(name, {**state, "looked_until": telling["until"]})
        self._forget_records(name, schedule_server.stamp(datetime.fromisoformat(telling["until"])))

    def _is_missed(self, name: str, stamp: str, done: set[str]) -> bool:
        if stamp not in done:
            return not markers.was_launched(self._home, schedule_files.due_run_id(name, stamp))
        return (schedule_files.record(self._home, name, stamp) or {}).get("outcome") == "missed"

    def _forget_records(self, name: str, until: str) -> None:
        for stamp in schedule_files.stamps(self._home, name):
            if stamp <= until and not schedule_files.waits(self._home, name, stamp):
                with contextlib.suppress(OSError):
                    schedule_files.drop_record(self._home, name, stamp)

    def _keep_state(self, name: str, state: dict[str, Any]) -> None:
        with contextlib.suppress(FileNotFoundError):  # It was removed meanwhile.
            schedule_files.keep_state(self._home, name, state)
