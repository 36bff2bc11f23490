"""The health of an installation: a list of checks, each one finding and, where something is wrong, its cure."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import (
    __version__,
    catalog,
    claude_settings,
    engine_client,
    engine_start,
    faces,
    guard,
    inbox,
    keys,
    markers,
    own_temporal,
    processes,
    records,
    refused,
    runs,
    schedule_files,
    session_hook,
    system_service,
    temporal_server,
    wording,
)
from sagaflow_mcp.errors import SagaflowError
from sagaflow_mcp.health import Check, claude, disk, fixes, models
from sagaflow_mcp.health import processes as health_processes
from sagaflow_mcp.health import runs as health_runs
from sagaflow_mcp.paths import Home
from sagaflow_mcp.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sagaflow_mcp.connection import Connection
    from sagaflow_mcp.health import Level

LOW_DISK_BYTES = 200_000_000
"""Free space below which a long run may not finish."""

MOST_DAMAGED = 5
"""How many damaged entries are named."""

SILENT_SECONDS = 60.0
"""How long ago the worker may have reached Temporal; it does every few seconds."""

MOST_NAMES = 5
"""How many of what is counted are named."""

SHORT_RETENTION = timedelta(days=7)
"""How long a server should keep closed runs at least: a machine may well be off for so long."""


def examine(environ: Mapping[str, str], face: faces.Face) -> list[Check]:
    """Every check in order. What cannot be checked because the home is unfit is left out. Never raises."""
    found = [Check("version", "ok", f"sagaflow-mcp {__version__}, Python {sys.version.split()[0]}")]
    claims = guard.claims(environ)
    found += [_claim(each, face) for each in claims]
    try:
        # What a project has no right to say is left out: the rest is about the user's own.
        settings = Settings.load(guard.without(environ, [each for each in claims if not each.is_allowed]))
    except SagaflowError as error:
        return [*found, Check("home", "fail", str(error))]
    for check in CHECKS:
        try:
            found.extend(check(settings, face))
        except (OSError, SagaflowError) as error:
            found.append(Check(check.__name__.strip("_"), "fail", str(error)))
    return found


def mend(environ: Mapping[str, str]) -> list[Check]:
    """What the safe cures have done, and where one was not to be had. Never raises."""
    if any(not each.is_allowed for each in guard.claims(environ)):
        return []  # Of a home that a project has chosen nothing is touched.
    done: list[Check] = []
    home = Home.from_environment(environ)
    try:
        done += [Check("fixed", "info", each) for each in fixes.home(home.root)]
        done += [Check("fixed", "info", each) for each in fixes.rest(home.prepare(), environ)]
    except (OSError, SagaflowError) as error:
        done.append(Check("not fixed", "warn", str(error)))
    return done


def _claim(claim: guard.Claim, face: faces.Face) -> Check:
    if claim.is_allowed:
        finding = f"{claim.variable} comes from {claim.file!r}, which config.toml allows"
        return Check("project settings", "info", finding)
    return Check("project settings", "fail", guard.finding(claim), guard.how_to_allow(claim, face.allow))


def _home(settings: Settings, _face: faces.Face) -> Iterator[Check]:
    free = shutil.disk_usage(settings.home.root).free
    finding = f"{settings.home.root}, {free // 1_000_000} MB free"
    if free < LOW_DISK_BYTES:
        yield Check("home", "warn", finding, "make room on that disk: a run that cannot write stops")
    else:
        yield Check("home", "ok", finding)
    ring = keys.KeyRing.of(settings.home)
    yield Check("seal", "ok", f"home {ring.home_id}, {len(ring.keys)} key{'s' if len(ring.keys) != 1 else ''}")


def _temporal(settings: Settings, _face: faces.Face) -> Iterator[Check]:
    if not settings.temporal:
        kept = f"what it knows of closed runs is kept for {settings.history.days} days"
        yield Check("temporal", "ok", f"the embedded server, {temporal_server.binary()}; {kept}")
        yield from _stranded(settings, own_temporal.EMBEDDED)
        return
    # Imported here: with the embedded server it need not be paid for.
    from sagaflow_mcp import connection  # noqa: PLC0415

    server = connection.own(settings)
    assert server is not None
    try:
        kept_there = asyncio.run(_retention(settings, server))
    except SagaflowError as error:
        cure = "put that right, there or in config.toml; open runs wait, and go on by themselves"
        yield Check("temporal", "fail", str(error), cure)
        return
    where = f"your own server at {server.address}, namespace {server.namespace} (from {server.source})"
    finding = f"{where}; it answers, and keeps closed runs for {wording.duration(kept_there.total_seconds())}"
    raise_it = f"temporal operator namespace update -n {server.namespace} --retention 90d"
    cure = f"an engine that is off for longer loses endings: `{raise_it}`"
    is_short = timedelta() < kept_there < SHORT_RETENTION
    yield Check("temporal", "warn" if is_short else "ok", finding, cure if is_short else "")
    yield from _stranded(settings, server.label)


async def _retention(settings: Settings, server: Connection) -> timedelta:
    from sagaflow_mcp import temporal  # noqa: PLC0415 - as above

    return await temporal.retention(await temporal.connect(settings.home, server), server)


def _stranded(settings: Settings, server: str) -> Iterator[Check]:
    """The open runs on another server than the one with the label `server`."""
    home = settings.home
    servers = {run_id: markers.server(home, run_id, otherwise=server) for run_id in sorted(markers.run_ids(home))}
    elsewhere = {run_id: each for run_id, each in servers.items() if each != server}
    if elsewhere:
        where = records.one_line(", ".join(sorted(set(elsewhere.values()))), 200)
        named = _named(list(elsewhere))
        finding = f"{markers.counted(len(elsewhere))} on another Temporal server ({where}): {named}"
        yield Check("runs", "warn", finding, f"they go on when {home.config} names that one again")


def _engine(settings: Settings, face: faces.Face) -> Iterator[Check]:
    joined = engine_start.joining(settings.home)
    if Path(joined.pid_file).exists():
        pid = joined.pid()
        about = f"pid {pid}" if pid else "not running now"
        yield Check("worker", "ok" if pid else "info", f"this home only joins the work of another machine's: {about}")
        return
    status = engine_client.status(settings.home, engine_client.PATIENT_SECONDS)
    open_runs = len(markers.run_ids(settings.home))
    if status is None:
        place = processes.Place(settings.home.engine, "engine")
        if place.alive():
            cure = face.end_engine.format(pid=place.pid())
            yield Check("engine", "fail", "it hangs: it is alive, but does not answer", cure)
            return
        is_needed = schedule_files.needs_engine(settings.home)
        level: Level = "warn" if is_needed else "info"
        yield Check(
            "engine", level, f"not running, {markers.counted(open_runs)}", face.start_engine if is_needed else ""
        )
        return
    if status.get("temporal") != own_temporal.label(settings.temporal):
        cure = "the next launch replaces it once no run is open"
        yield Check("engine", "warn", "it was started with another Temporal server than config.toml names", cure)
    if status["version"] != __version__:
        finding = f"it is of version {status['version']}, and this is {__version__}"
        yield Check("engine", "warn", finding, "the next launch with the newer one replaces it")
    if status["state"] == "waiting":
        yield Check("engine", "warn", f"pid {status['pid']} waits: {status.get('reason')}")
    elif status["state"] == "failed":
        yield Check("engine", "fail", str(status.get("reason")), "put that right, then launch: it tries again")
    else:
        yield Check(
            "engine",
            "ok",
            f"{status['state']}, pid {status['pid']}, version {status['version']}, {markers.counted(open_runs)}",
            face.hold_runs if open_runs else "",
        )
    server, worker = status.get("server") or {}, status.get("worker") or {}
    if not settings.temporal:
        yield _part("server", server, f"address {server.get('address')}")
    yield _worker(worker, str(status["version"]), face)


def _worker(worker: dict[str, Any], version: str, face: faces.Face) -> Check:
    # The engine replaces a worker of any other version than its own.
    found = _part("worker", worker, f"version {version}, last probe {worker.get('last_probe') or 'not yet'}")
    silent = runs.seconds_since(str(worker.get("last_probe") or worker.get("started_at") or ""))
    if found.level == "ok" and silent > SILENT_SECONDS:
        finding = f"pid {worker['pid']} has not reached Temporal for {wording.duration(silent)}"
        return Check("worker", "fail", finding, face.see_logs)
    return found


def _part(name: str, state: dict[str, Any], more: str) -> Check:
    if not state.get("pid"):
        return Check(name, "warn", "not running at this moment")
    age = wording.duration(runs.seconds_since(str(state.get("started_at", ""))))
    return Check(name, "ok", f"pid {state['pid']}, up {age}, {state.get('restarts', 0)} restarts, {more}")


def _named(names: list[str]) -> str:
    return ", ".join([*names[:MOST_NAMES], *(["…"] if len(names) > MOST_NAMES else [])])


def _schedules(settings: Settings, face: faces.Face) -> Iterator[Check]:
    found, damaged = schedule_files.listing(settings.home), schedule_files.damaged(settings.home)
    if found:
        paused = sum(each.paused for each in found)
        yield Check(
            "schedules", "ok", f"{len(found) - paused} active, {paused} paused: {_named([each.name for each in found])}"
        )
    for name in damaged:
        finding = f"{settings.home.schedule(name)} cannot be read, so that it launches nothing"
        yield Check(f"schedule {name}", "fail", finding, face.remove_schedule.format(name=name))


def _service(settings: Settings, face: faces.Face) -> Iterator[Check]:
    found = system_service.standing(settings)
    if not found.installed:
        return
    if found.python_gone:
        finding = f"{found.file} runs {found.python or 'no interpreter'}, which is gone"
        yield Check("service", "fail", finding, face.renew_service)
    elif not found.current:
        yield Check("service", "warn", f"{found.file} was written by another installation", face.renew_service)
    else:
        yield Check("service", "ok", f"{found.manager or 'the system'} runs the engine: {found.file}")


def _skills(settings: Settings, face: faces.Face) -> Iterator[Check]:
    roots = catalog.roots(settings.environ, face.folder(settings.environ))
    listed = catalog.listing(roots)
    yield Check("skills", "ok", f"{sum(each.launchable for each in listed)} can be launched")
    for each in listed:
        if each.problem:
            yield Check(f"skill {each.name}", "warn", each.problem)
    withheld = catalog.withheld(roots, listed)
    if withheld:
        yield Check(
            "skills", "info", wording.untrusted(withheld), face.how_to_trust(str(withheld.project), settings.home.root)
        )


def _inbox(settings: Settings, face: faces.Face) -> Iterator[Check]:
    unread = len(inbox.unread(settings.home))
    yield Check("inbox", "ok", f"{unread} unread", face.see_inbox if unread else "")
    damaged = inbox.damaged(settings.home)
    for problem in damaged[:MOST_DAMAGED]:
        yield Check("inbox", "warn", problem, "read the file, then remove it")
    if len(damaged) > MOST_DAMAGED:
        yield Check("inbox", "warn", f"{len(damaged) - MOST_DAMAGED} more files in it are no entries", "do the same")


def _hook(settings: Settings, face: faces.Face) -> Iterator[Check]:
    if face.hook and claude_settings.folder(settings.environ).is_dir():
        try:
            yield Check("hook", *session_hook.finding(session_hook.standing(settings.environ)))
        except SagaflowError as error:
            yield Check("hook", "warn", str(error))


def _refused(settings: Settings, _face: faces.Face) -> Iterator[Check]:
    found = refused.listing(settings.home)
    if found:
        yield Check(
            "foreign messages",
            "warn",
            f"{len(found)} refused, none reached a skill; the last: {found[-1]}",
            "somebody on this machine sends to your Temporal server; once you know who, remove "
            f"{refused.path(settings.home)}",
        )


def _settings(settings: Settings, _face: faces.Face) -> Iterator[Check]:
    if settings.sources:
        told = ", ".join(f"{name} from {source}" for name, source in sorted(settings.sources.items()))
        yield Check("settings", "info", told)


def _environment(settings: Settings, _face: faces.Face) -> Iterator[Check]:
    # Not used for itself: whoever sets such a variable for a project would have all prompts sent to a server of theirs.
    names = sorted(name for name, value in settings.environ.items() if name.startswith("TEMPORAL_") and value)
    if names:
        used = "config.toml names the Temporal server" if settings.temporal else "Sagaflow uses its embedded server"
        address = settings.environ.get("TEMPORAL_ADDRESS")
        shown = [f"{name}={address}" if name == "TEMPORAL_ADDRESS" else name for name in names]
        cure = f"to use that server, write address = {json.dumps(address)} under [temporal] in {settings.home.config}"
        finding = f"seen, but not used: {', '.join(shown)}; {used}"
        yield Check("environment", "info", finding, cure if address and not settings.temporal else "")
    if settings.environ.get("SAGAFLOW_HOME"):
        yield Check("environment", "info", f"SAGAFLOW_HOME={settings.home.root}")


CHECKS: tuple[Callable[[Settings, faces.Face], Iterator[Check]], ...] = (
    _home,
    _temporal,
    _engine,
    _schedules,
    _service,
    models.access,
    claude.version,
    health_runs.open_runs,
    health_processes.orphans,
    _skills,
    _inbox,
    _hook,
    _refused,
    disk.use,
    health_runs.clock,
    _settings,
    _environment,
)
"""Every check, in the order in which it is shown."""
