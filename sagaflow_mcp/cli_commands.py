"""What each `sagaflow` command does."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import cli_output, guard, markers, records, schedule_files, waking
from sagaflow_mcp import inbox as inbox_entries
from sagaflow_mcp.errors import Refusal, UsageRefusal
from sagaflow_mcp.paths import Home

if TYPE_CHECKING:
    import argparse

    from sagaflow_mcp.settings import Settings

SHOWN_RUNS = 5
"""How many runs a line names."""

# Each command imports what it needs inside: `sagaflow inbox` answers in a fraction of the time that Temporal's client
# takes to load.


def launch(options: argparse.Namespace) -> int:
    """Start a run, and with --await wait for its ending."""
    from sagaflow_mcp import cli_launch

    return cli_launch.run(options, _settings())


def inbox(options: argparse.Namespace) -> int:
    """Show unread entries."""
    home = _home()
    found = (
        inbox_entries.entries(home) if options.everything else [(each, False) for each in inbox_entries.unread(home)]
    )
    shown = found[: options.limit]
    if options.as_json:
        return cli_output.print_json([{**entry._asdict(), "dismissed": dismissed} for entry, dismissed in shown])
    from sagaflow_mcp import wording

    screen = cli_output.screen()
    for entry, dismissed in shown:
        screen.show(f"{'  ' if dismissed else '* '}{wording.entry(entry, screen.paint)}")
    if not shown:
        print("the inbox is empty")
    elif len(found) > len(shown):
        print(f"… and {len(found) - len(shown)} more: sagaflow inbox --limit {len(found)}")
    return 0


def dismiss(options: argparse.Namespace) -> int:
    """Mark entries as read."""
    if bool(options.run_ids) == options.everything:
        raise UsageRefusal("give run ids, or --all")
    done = inbox_entries.dismiss(_home(), None if options.everything else options.run_ids)
    missing = [run_id for run_id in options.run_ids if run_id not in done]
    if options.as_json:
        cli_output.print_json({"dismissed": done, "not_found": missing})
    else:
        for run_id in done:
            print(f"dismissed {run_id}")
    if missing:
        named = ", ".join(repr(each[:100]) for each in missing)
        raise Refusal(f"no unread entry of {named}; `sagaflow inbox` shows what there is")
    return 0


def runs(options: argparse.Namespace) -> int:
    """List runs."""
    from sagaflow_mcp import runs as run_files
    from sagaflow_mcp import wording
    from sagaflow_mcp.run_filter import RunFilter

    here = os.path.curdir
    chosen = RunFilter.parse(options.status, options.skill, options.project, options.since, here)
    found = run_files.listing(_home(), chosen, limit=options.limit)
    if options.as_json:
        # How far they have come is not looked at in a list.
        return cli_output.print_json([{k: v for k, v in _fields(run).items() if k != "progress"} for run in found])
    screen = cli_output.screen()
    for run in found:
        screen.show(wording.run_line(run, screen.paint))
    if not found:
        print("no runs")
    return 0


def show(options: argparse.Namespace) -> int:
    """Show one run."""
    from sagaflow_mcp import cli_show

    return cli_show.show(options, _home())


def watch(options: argparse.Namespace) -> int:
    """Show runs as they go on."""
    from sagaflow_mcp import cli_watch

    return cli_watch.watch(options, _home())


def skills_list(options: argparse.Namespace) -> int:
    """List skills."""
    from sagaflow_mcp import catalog, faces, overview, settings, wording

    roots = catalog.roots(settings.environment(os.environ), faces.CLI.folder(os.environ))
    found = overview.overview(Home.from_environment(os.environ), roots)
    if options.as_json:
        cli_output.print_json(
            [{**_fields(each.listed), "digest": each.digest, "launchable": each.listed.launchable} for each in found]
        )
    else:
        screen = cli_output.screen()
        for each in found:
            screen.show(wording.skill(each.listed, screen.paint, each.digest))
    # On standard error: it is no skill, and standard output may be JSON.
    withheld = wording.withheld(catalog.withheld(roots, [each.listed for each in found]), faces.CLI)
    if withheld:
        print(f"sagaflow: {withheld}", file=sys.stderr)
    return 0


def skills_check(options: argparse.Namespace) -> int:
    """Say what is wrong with skills; 1 when one cannot run as it is."""
    from sagaflow_mcp import cli_skills

    return cli_skills.check(options, _settings())


def doctor(options: argparse.Namespace) -> int:
    """Run every check; 1 when one fails."""
    from sagaflow_mcp import doctor as checks
    from sagaflow_mcp import faces, wording

    found = [*(checks.mend(os.environ) if options.fix else ()), *checks.examine(os.environ, faces.CLI)]
    if options.as_json:
        cli_output.print_json([_fields(each) for each in found])
    else:
        screen = cli_output.screen()
        for each in found:
            screen.show(wording.check(each, screen.paint))
    return 1 if any(each.level == "fail" for each in found) else 0


def engine_status(options: argparse.Namespace) -> int:
    """Show the engine; 1 when none runs."""
    from sagaflow_mcp import engine_client

    home = _home(wake=False)
    status = engine_client.status(home)
    if options.as_json:
        cli_output.print_json(status and {name: value for name, value in status.items() if name != "ok"})
    elif status is None:
        print(f"no engine runs for {home.root}")
    else:
        _print_status(status)
    return 0 if status else 1


def engine_stop(options: argparse.Namespace) -> int:
    """Stop the engine and all its parts."""
    from sagaflow_mcp import engine_client

    home = _home(wake=False)
    ran = engine_client.stop(home)
    open_runs = sorted(markers.run_ids(home))
    if options.as_json:
        return cli_output.print_json({"stopped": ran, "open_runs": open_runs})
    print("the engine has stopped" if ran else "no engine was running")
    if open_runs:
        shown, more = open_runs[:SHOWN_RUNS], len(open_runs) - SHOWN_RUNS
        named = ", ".join(shown) + (f" and {more} more" if more > 0 else "")
        print(f"{markers.counted(len(open_runs))}, to go on when it starts again: {named}")
    if schedule_files.is_active(home):
        print("schedules launch nothing until it starts again, with the next session or command")
    return 0


def engine_logs(options: argparse.Namespace) -> int:
    """Show the ends of the logs."""
    folder = Path(_home(wake=False).engine)
    found = []
    for name in ("engine", "server", "worker"):
        path = folder / f"{name}.log"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
        ends = [records.one_line(line, 1000) for line in lines[-options.lines :]]
        found.append({"name": name, "path": str(path), "lines": ends})
        if not options.as_json:
            print("\n".join([f"== {path}", *ends]))
    return cli_output.print_json(found) if options.as_json else 0


def worker_status(options: argparse.Namespace) -> int:
    """Show the worker; 1 when none runs."""
    from sagaflow_mcp import engine_client

    status = engine_client.status(_home(wake=False)) or {}
    worker = status.get("worker") or {}
    if options.as_json:
        cli_output.print_json(worker if worker.get("pid") else None)
    elif worker.get("pid"):
        cli_output.screen().show(", ".join(f"{name} {value}" for name, value in worker.items() if value is not None))
    else:
        print("no worker runs")
    return 0 if worker.get("pid") else 1


def worker_run(options: argparse.Namespace) -> int:
    """Keep the engine up and show the worker's log, or join the work of another machine, until interrupted."""
    if not options.join:
        from sagaflow_mcp import cli_worker

        cli_worker.keep(_settings())
    from sagaflow_mcp import joined
    from sagaflow_mcp.settings import Settings

    return joined.run(Settings.load(os.environ))


def demo(_options: argparse.Namespace) -> int:
    """See a run survive kill -9."""
    from sagaflow_mcp import demo as demonstration
    from sagaflow_mcp.cli import EXIT_INTERRUPTED

    try:
        return demonstration.main()
    except KeyboardInterrupt:
        print("sagaflow: interrupted; everything was stopped and the throw-away home removed", file=sys.stderr)
        return EXIT_INTERRUPTED


def _settings() -> Settings:
    from sagaflow_mcp.settings import Settings

    settings = Settings.of_user(os.environ)
    _wake(settings.home)
    return settings


def _home(*, wake: bool = True) -> Home:
    # An engine that is woken here gets the whole environment.
    guard.refuse(os.environ, only=() if wake else guard.OF_HOME)
    home = Home.from_environment(os.environ).prepare()
    if wake:
        _wake(home)
    return home


def _wake(home: Home) -> None:
    trouble = waking.wake_open_runs(home, os.environ)
    if trouble:
        print(f"sagaflow: {records.one_line(trouble, records.SENTENCE_LIMIT)}", file=sys.stderr)


def _fields(record: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(record)


def _print_status(status: dict[str, Any]) -> None:
    screen = cli_output.screen()
    for name, value in status.items():
        if name == "ok" or value == "":
            continue
        if isinstance(value, dict):
            known = ", ".join(f"{key} {inner}" for key, inner in value.items() if inner not in {None, ""})
            screen.show(f"{name:<11} {known}")
        else:
            screen.show(f"{name:<11} {value}")
