"""Schedules as a user makes, sees and changes them."""

from __future__ import annotations

import contextlib
import os
import time
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from sagaflow_mcp import (
    artifacts,
    durations,
    ids,
    keys,
    launch,
    records,
    run_updates,
    schedule_files,
)
from sagaflow_mcp.errors import Failure, Refusal
from sagaflow_mcp.schedule_files import Schedule
from sagaflow_mcp.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from contextlib import AbstractContextManager

    from temporalio.client import Client

    from sagaflow_mcp.paths import Home

CATCH_UP = timedelta(hours=1)
"""How late a run may be launched, unless its schedule says otherwise."""

NEXT_SECONDS = 5.0
"""How long Temporal may take to work out when a schedule is due next."""

LOOK_SECONDS = 0.1
"""The pause between two looks at whether it has."""

LEAST_CATCH_UP = timedelta(seconds=10)
"""The shortest that Temporal takes."""


@dataclass(frozen=True)
class Wanted:
    """What is to be launched when."""

    name: str
    cron: str
    timezone: str = "UTC"
    catch_up: timedelta = CATCH_UP
    overlap: str = "skip"


@dataclass(frozen=True)
class Argument:
    """What a schedule gives to the skill."""

    name: str
    value: Any


@dataclass(frozen=True)
class Shown:
    """A schedule, as it is shown."""

    name: str
    skill: str
    arguments: tuple[Argument, ...]
    cron: str
    timezone: str
    catch_up: str
    overlap: str
    state: str
    """`active` or `paused`."""
    project_dir: str
    created_at: str
    open_runs: tuple[str, ...]
    """Of its runs, those that have not ended."""


def listing(home: Home) -> list[Shown]:
    """The schedules of `home`, by name."""
    return [_shown(home, each) for each in schedule_files.listing(home)]


def get(home: Home, name: str) -> Shown:
    """The schedule `name`; Refusal when there is none."""
    return _shown(home, _found(home, name))


async def add(settings: Settings, wanted: Wanted, request: launch.Request) -> Shown:
    """The schedule, from now on in force, once everything is checked that a launch checks.

    Raises:
        Refusal: the skill, an argument, the name, the times, the zone or the overlap is wrong, or the name is taken.
        Failure: the engine or Temporal does not answer, or somebody has removed it meanwhile.
    """
    home = settings.home
    _refuse_unfit(home, wanted)
    await anyio.to_thread.run_sync(launch.check, settings, request)
    schedule = Schedule(
        name=wanted.name,
        skill=request.skill,
        arguments=dict(request.arguments),
        cron=wanted.cron,
        timezone=wanted.timezone,
        catch_up_seconds=int(wanted.catch_up.total_seconds()),
        overlap=wanted.overlap,
        project_dir=request.project_dir,
        allow=list(request.allow),
        skills_path=settings.environ.get("SAGAFLOW_SKILLS_PATH", ""),
        created_at=records.now(),
        bundled=request.bundled,
    )
    # In the home first: what Temporal has beyond that is taken for left over.
    with _changing(home, schedule.name):
        is_first = schedule_files.add(home, schedule)
    if not is_first:
        raise _taken(schedule.name)
    try:
        await _on_server(settings, lambda client, home_id: _create(home, client, home_id, schedule))
    except BaseException:
        schedule_files.remove(home, schedule.name)
        raise
    return _shown(home, schedule)


async def remove(settings: Settings, name: str) -> None:
    """End the schedule `name`; its runs go on.

    Raises:
        Refusal: there is none.
        Failure: it cannot be removed from the home, or Temporal does not answer.
    """
    from sagaflow_mcp import schedule_server  # noqa: PLC0415 - half a second that others need not pay

    if name not in schedule_files.damaged(settings.home):
        _found(settings.home, name)
    with _changing(settings.home, name):
        schedule_files.remove(settings.home, name)
    await _on_server(settings, lambda client, home_id: schedule_server.delete(client, home_id, name))


async def set_paused(settings: Settings, name: str, *, paused: bool) -> Shown:
    """The schedule `name`, which launches nothing while it is paused; what is due meanwhile is not missed.

    Raises:
        Refusal: there is none.
        Failure: the home cannot be changed, or Temporal does not answer.
    """
    from sagaflow_mcp import schedule_server  # noqa: PLC0415 - as above

    home, schedule = settings.home, _found(settings.home, name)._replace(paused=paused)
    with _changing(home, name):
        if not paused:
            state = {each: value for each, value in schedule_files.state(home, name).items() if each != "telling"}
            schedule_files.keep_state(home, name, {**state, "looked_until": datetime.now(UTC).isoformat()})
        schedule_files.change(home, schedule)
    await _on_server(settings, lambda client, home_id: schedule_server.set_paused(client, home_id, name, paused=paused))
    return _shown(home, schedule)


async def run_now(settings: Settings, name: str) -> launch.Launched:
    """A run of what the schedule `name` launches, beside its times. As `launch.launch`."""
    schedule = _found(settings.home, name)
    run_id = ids.new_run_id(name, datetime.now(UTC), os.urandom(4))
    return await launch.launch(settings_for(settings.environ, schedule), request(schedule, run_id))


def request(schedule: Schedule, run_id: str | None = None) -> launch.Request:
    """The launch of what `schedule` names, under a new id where none is given."""
    return launch.Request(
        skill=schedule.skill,
        arguments=schedule.arguments,
        run_id=run_id,
        project_dir=schedule.project_dir,
        allow=tuple(schedule.allow),
        bundled=schedule.bundled,
    )


def settings_for(environ: Mapping[str, str], schedule: Schedule) -> Settings:
    """The settings as they are now, with the folders of skills of whoever made the schedule.

    Raises:
        Refusal: as `Settings.load`.
        Failure: as `Settings.load`.
    """
    return Settings.load({**environ, "SAGAFLOW_SKILLS_PATH": schedule.skills_path})


async def next_times(settings: Settings, name: str) -> list[str]:
    """When it is due next, in UTC; nothing while it is paused. Refusal and Failure as `set_paused`."""
    from sagaflow_mcp import schedule_server  # noqa: PLC0415 - as above

    if _found(settings.home, name).paused:
        return []
    deadline = time.monotonic() + NEXT_SECONDS
    while True:
        found = await _on_server(settings, lambda client, home_id: schedule_server.described(client, home_id, name))
        times = found.info.next_action_times if found else []
        # Temporal works them out a moment after a schedule was made.
        if times or not found or time.monotonic() > deadline:
            return [records.moment(each.timestamp()) for each in times]
        await anyio.sleep(LOOK_SECONDS)


async def _create(home: Home, client: Client, home_id: str, schedule: Schedule) -> None:
    from temporalio.service import RPCError, RPCStatusCode  # noqa: PLC0415 - as above

    from sagaflow_mcp import schedule_server  # noqa: PLC0415 - as above

    # One that was removed while nobody could reach the server may still be there under this name.
    await schedule_server.delete(client, home_id, schedule.name)
    # From now on something can be due: before, an engine may have had to be started for it.
    began = records.now()
    try:
        known = await schedule_server.create(client, home_id, schedule)
    except RPCError as error:
        if error.status is not RPCStatusCode.INVALID_ARGUMENT:
            raise
        reason = records.one_line(error.message.removeprefix("Invalid schedule spec: "))
        raise Refusal(f"{schedule.cron!r} in {schedule.timezone!r} is no time for a schedule: {reason}") from None
    try:
        schedule_files.keep_state(home, schedule.name, {"fingerprint": known, "looked_until": began})
    except FileNotFoundError:
        await schedule_server.delete(client, home_id, schedule.name)
        raise Failure(
            f"schedule {schedule.name!r} was removed by somebody else while it was made; add it again"
        ) from None


async def _on_server(settings: Settings, act: Callable[[Client, str], Coroutine[Any, Any, Any]]) -> Any:
    """What `act` makes of the server and the home's id; Failure when that does not answer."""
    from temporalio.service import RPCError  # noqa: PLC0415 - as above

    client = await run_updates.connected(settings)
    try:
        return await act(client, keys.KeyRing.of(settings.home).home_id)
    except RPCError as error:
        raise Failure(
            f"Temporal does not take the change of the schedule: {records.one_line(error.message)}"
        ) from error


def parse_times(text: str) -> tuple[str, str]:
    """The cron expression and the time zone in `text`, such as `0 7 * * 1-5 Europe/Berlin`; UTC where none is given."""
    *cron, last = text.split() or [""]
    return (" ".join(cron), last) if cron and _is_zone(last) else (text.strip(), "UTC")


def _is_zone(text: str) -> bool:
    """Whether `text` is meant as a time zone: no field of a cron expression is one."""
    with contextlib.suppress(zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        zoneinfo.ZoneInfo(text)
        return True
    return "/" in text and text[0].isalpha()


def _changing(home: Home, name: str) -> AbstractContextManager[None]:
    return artifacts.changing("the schedule", home.schedule(name))


def _refuse_unfit(home: Home, wanted: Wanted) -> None:
    if not schedule_files.NAME.fullmatch(wanted.name):
        raise Refusal(
            f"{wanted.name[:80]!r} is no name for a schedule: 1 to 60 of a-z, 0-9, '_' and '-', the first a letter or "
            "a digit"
        )
    if schedule_files.find(home, wanted.name) is not None:
        raise _taken(wanted.name)
    if wanted.overlap not in schedule_files.OVERLAPS:
        raise Refusal(f"overlap is {wanted.overlap[:40]!r}, but must be one of {', '.join(schedule_files.OVERLAPS)}")
    if not wanted.cron.strip() or "TZ=" in wanted.cron or not wanted.cron.isascii():
        raise Refusal(
            f"{wanted.cron[:60]!r} is no cron expression, such as '0 7 * * 1-5'; the time zone is given beside it"
        )
    try:
        zoneinfo.ZoneInfo(wanted.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise Refusal(f"{wanted.timezone[:60]!r} is no time zone, such as Europe/Berlin or UTC") from None


def _taken(name: str) -> Refusal:
    return Refusal(f"there is a schedule {name!r} already; remove it first, or choose another name")


def _found(home: Home, name: str) -> Schedule:
    found = schedule_files.find(home, name) if schedule_files.NAME.fullmatch(name) else None
    if found is None:
        if name in schedule_files.damaged(home):
            raise Refusal(
                f"schedule {name!r} is damaged: {home.schedule(name)!r} cannot be read; remove it, and add it anew"
            )
        raise Refusal(f"there is no schedule {name[:80]!r}; `sagaflow schedule list` shows what there is")
    return found


def _shown(home: Home, schedule: Schedule) -> Shown:
    return Shown(
        name=schedule.name,
        skill=schedule.skill,
        arguments=tuple(Argument(*each) for each in schedule.arguments.items()),
        cron=schedule.cron,
        timezone=schedule.timezone,
        catch_up=durations.shown(timedelta(seconds=schedule.catch_up_seconds)),
        overlap=schedule.overlap,
        state="paused" if schedule.paused else "active",
        project_dir=schedule.project_dir,
        created_at=schedule.created_at,
        open_runs=tuple(schedule_files.open_runs(home, schedule.name)),
    )
