"""`sagaflow schedule`: runs that are launched at their time, whoever is there."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import anyio

from sagaflow_mcp import (
    cli_output,
    durations,
    faces,
    launch,
    model_access,
    records,
    runs,
    schedule_files,
    schedules,
    wording,
)
from sagaflow_mcp.schedules import Wanted
from sagaflow_mcp.settings import Settings

if TYPE_CHECKING:
    import argparse

    from sagaflow_mcp.schedules import Shown


def schedule_add(options: argparse.Namespace) -> int:
    """Launch a skill at its times from now on."""
    settings = Settings.of_user(os.environ)
    wanted = Wanted(
        name=options.schedule,
        cron=options.cron,
        timezone=options.timezone,
        catch_up=durations.parse(options.catch_up, "--catch-up", schedules.LEAST_CATCH_UP),
        overlap=options.overlap,
    )
    request = launch.Request(
        skill=options.skill,
        arguments=options.arguments,
        allow=tuple(options.allow),
        project_dir=faces.CLI.folder(os.environ),
    )
    added = anyio.run(schedules.add, settings, wanted, request)
    if options.as_json:
        return _print_json(settings, added)
    screen = cli_output.screen()
    screen.show(wording.schedule(added))
    for each in anyio.run(schedules.next_times, settings, added.name)[:1]:
        screen.show(f"due next at {each}")
    if not model_access.needs_nobody(settings):
        screen.show(wording.WITHOUT_KEY)
    return 0


def schedule_list(options: argparse.Namespace) -> int:
    """List the schedules."""
    settings = Settings.of_user(os.environ)
    found = schedules.listing(settings.home)
    if options.as_json:
        return cli_output.print_json([asdict(each) for each in found])
    screen = cli_output.screen()
    for each in found:
        screen.show(wording.schedule(each))
    damaged = schedule_files.damaged(settings.home)
    for name in damaged:
        screen.show(f"{name}: damaged, so that it launches nothing; to take it away: sagaflow schedule remove {name}")
    if not found and not damaged:
        print("no schedules")
    return 0


def schedule_show(options: argparse.Namespace) -> int:
    """Show one schedule, with when it is due next."""
    settings = Settings.of_user(os.environ)
    found = schedules.get(settings.home, options.schedule)
    if options.as_json:
        return _print_json(settings, found)
    screen = cli_output.screen()
    screen.show(wording.schedule(found))
    screen.show(f"made {found.created_at} in {records.one_line(found.project_dir, 500)}")
    for each in anyio.run(schedules.next_times, settings, found.name):
        screen.show(f"  due at {each}")
    for run_id in found.open_runs:
        screen.show(f"  open run {run_id}")
    return 0


def schedule_pause(options: argparse.Namespace) -> int:
    """Launch nothing until it is resumed."""
    return _set_paused(options, paused=True)


def schedule_resume(options: argparse.Namespace) -> int:
    """Launch again from now on."""
    return _set_paused(options, paused=False)


def schedule_remove(options: argparse.Namespace) -> int:
    """End a schedule."""
    settings = Settings.of_user(os.environ)
    anyio.run(schedules.remove, settings, options.schedule)
    if options.as_json:
        return cli_output.print_json({"name": options.schedule})
    print(f"schedule {options.schedule} is removed; runs that it has launched go on")
    return 0


def schedule_run_now(options: argparse.Namespace) -> int:
    """Launch what a schedule launches, now."""
    settings = Settings.of_user(os.environ)
    launched = anyio.run(schedules.run_now, settings, options.schedule)
    if options.as_json:
        return cli_output.print_json({"run_id": runs.get(settings.home, launched.run_id).run_id})
    print(f"launched {launched.run_id}")
    return 0


def _set_paused(options: argparse.Namespace, *, paused: bool) -> int:
    settings = Settings.of_user(os.environ)

    async def changed() -> Shown:
        """The schedule as it is now."""
        return await schedules.set_paused(settings, options.schedule, paused=paused)

    found = anyio.run(changed)
    if options.as_json:
        return _print_json(settings, found)
    cli_output.screen().show(wording.schedule(found))
    return 0


def _print_json(settings: Settings, found: Shown) -> int:
    return cli_output.print_json({**asdict(found), "next": anyio.run(schedules.next_times, settings, found.name)})
