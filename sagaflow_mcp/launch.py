"""The launch of a run: everything is checked first, so that what is accepted can run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from sagaflow_mcp import (
    __version__,
    argument_schema,
    artifacts,
    catalog,
    crash_points,
    engine_client,
    faces,
    ids,
    keys,
    markers,
    model_access,
    own_temporal,
    pinning,
    probe,
    records,
)
from sagaflow_mcp.durable import first_execution, inheriting
from sagaflow_mcp.errors import Failure, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from temporalio.client import Client

    from sagaflow_mcp.catalog import Listed
    from sagaflow_mcp.pinning import Pinned
    from sagaflow_mcp.probe import Verdict
    from sagaflow_mcp.settings import Settings

TASK = "task"
"""The bundled skill that does a task without a skill, and the name of its one argument, which is the task."""

ACCEPT_SECONDS = 40.0
"""How long the worker may take to accept or refuse a start."""


@dataclass(frozen=True)
class Request:
    """What a user asks to be launched."""

    skill: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    run_id: str | None = None
    """Chosen by the caller, so that launching it again does not start it twice."""
    project_dir: str = ""
    """The folder that the run belongs to, and whose project's skills can be launched."""
    allow: tuple[str, ...] = ()
    """The tools that the run's agents use without asking, beyond what the skill declares."""
    execution_timeout: timedelta | None = None
    """Longest time that the run may take in all; the skill's own where none is given."""
    ancestors: tuple[str, ...] = ()
    """The run whose finished steps it takes over, the one that that has gone on from, and so on."""
    face: faces.Face = faces.CLI
    """Whom a refusal tells what to do."""
    bundled: bool = False
    """Whether it is the bundled skill, whatever the user has under its name."""
    launcher: str = ""
    """The key of the Claude Code process that launches it, which is told of its ending; empty where there is none."""
    unattended: bool = False
    """Whether nobody is there who could bring a key: then the helper's counts, else what the engine holds."""
    skip_time: bool = False
    """Whether the run's clock jumps over what it waits for, as only a test's throw-away home lets it."""


@dataclass(frozen=True)
class Launched:
    """An accepted launch."""

    run_id: str
    run_dir: str
    attached: bool = False
    """Whether the run was there already."""
    allowed_tools: tuple[str, ...] | None = None
    """What its agents use without asking, beyond reading files; None where it has none, or was there already."""


@dataclass(frozen=True)
class _Checked:
    request: Request
    pinned: Pinned
    verdict: Verdict
    credentials: dict[str, str]
    arguments_hash: str
    """Of the arguments as they were given, before they got their types."""

    @property
    def allowed_tools(self) -> tuple[str, ...] | None:
        """What agents of the run use without asking; None where it has none."""
        unasked = dict.fromkeys([*self.verdict.allowed_tools, *self.request.allow])
        return tuple(unasked) if self.verdict.has_agents else None


def _new_id(skill: str) -> str:
    return ids.new_run_id(skill, datetime.now(UTC), os.urandom(4))


async def launch(settings: Settings, request: Request, new_id: Callable[[str], str] = _new_id) -> Launched:
    """A run that has been accepted by the skill and goes on whatever happens to the caller.

    Args:
        settings: the home, and what its user has chosen.
        request: what is launched.
        new_id: draws an id for a run of the skill that it is given, where the request has none.

    Raises:
        Refusal: the skill, an argument, the run id or `[temporal]` is wrong, or the skill needs a model that is not to
            be had.
        Failure: the engine or Temporal does not answer.
    """
    argument_schema.refuse_unwritable(request.skill, request.arguments)
    found = _again(settings, request) if request.run_id is not None else None
    if found and not await anyio.to_thread.run_sync(_may_be_unsent, settings, found.run_id):
        return found
    checked = await anyio.to_thread.run_sync(_check, settings, request)
    if found:
        return await _sent_again(settings, checked, found)
    run_id = request.run_id or new_id(request.skill)
    server, client = await _own_server(settings, request.run_id)
    while not _announced(settings, checked, run_id, server):
        # Another process launches the same id at this moment.
        if request.run_id is None:
            run_id = new_id(request.skill)
        elif found := _again(settings, request):
            return found
    with _undone_on((BaseException,), settings, run_id):
        client = await _connected(settings, checked, run_id, client)
    if not markers.exists(settings.home, run_id):
        # Another launch of the same id may have sent it meanwhile, and the run have ended.
        if request.run_id is not None and (found := _again(settings, request)):
            return found
        raise Failure(f"the launch of {run_id!r} was held up for so long that it was given up; launch again")
    # From here on the start may have been sent: only a refusal says that there is no run.
    with _undone_on((Refusal,), settings, run_id):
        await _start(client, settings, checked, run_id)
    return Launched(run_id=run_id, run_dir=settings.home.run(run_id), allowed_tools=checked.allowed_tools)


async def _sent_again(settings: Settings, checked: _Checked, found: Launched) -> Launched:
    """`found`, whose start is sent once more: its first launch may have been killed before. One start counts."""
    marker = await anyio.to_thread.run_sync(markers.find, settings.home, found.run_id)
    if marker is None or marker.digest != checked.pinned.digest:
        return found  # It has ended meanwhile, or the skill was edited since: another version would be sent.
    server, client = await _own_server(settings, None)
    await anyio.to_thread.run_sync(_write_down, settings, checked, marker, server)
    client = await _connected(settings, checked, found.run_id, client)
    if await anyio.to_thread.run_sync(markers.is_open, settings.home, found.run_id):
        with _undone_on((Refusal,), settings, found.run_id):
            await _start(client, settings, checked, found.run_id)
    return found


def _may_be_unsent(settings: Settings, run_id: str) -> bool:
    """Whether nothing shows that the start of the open run has ever reached a worker."""
    has_steps = Path(settings.home.run(run_id), artifacts.TRANSCRIPT).exists()
    return markers.is_open(settings.home, run_id) and not has_steps and not first_execution.known(settings.home, run_id)


def check(settings: Settings, request: Request) -> None:
    """Return when a launch would be accepted, as far as that can be known without one.

    Raises:
        Refusal: as `launch`.
        Failure: as `launch`.
    """
    argument_schema.refuse_unwritable(request.skill, request.arguments)
    _check(settings, request, is_trial=True)


def _check(settings: Settings, request: Request, *, is_trial: bool = False) -> _Checked:
    """What can be known before anything is started, but for what the worker finds out as well."""
    arguments_hash = _arguments_hash(request)
    roots = catalog.bundled() if request.bundled else catalog.roots(settings.environ, request.project_dir)
    source = catalog.find(request.skill, roots, request.face)
    pinned = pinning.pin(settings.home, source, request.face)
    # The worker tries the arguments, too, so where there is one no child process does. Nor where it is known what the
    # skill takes: it refuses hardly any arguments that fit, and the child takes longer than all the rest of a launch.
    is_left_to_worker = not is_trial and (engine_client.worker_ready(settings.home) or probe.knows_arguments(pinned))
    verdict = probe.verdict(settings.home, pinned, None if is_left_to_worker else request.arguments)
    if verdict.arguments is not None:
        request = replace(
            request, arguments=argument_schema.check(verdict.arguments, request.arguments, skill=request.skill)
        )
    if request.allow:
        _refuse_allowance(request, verdict)
    credentials = _access(settings, request, verdict)
    refuse_without_model(settings, request.skill, verdict, credentials, request.face)
    request = replace(request, project_dir=_unicode(request.project_dir))
    return _Checked(request, pinned, verdict, credentials, arguments_hash)


def refuse_without_model(
    settings: Settings, skill: str, verdict: Verdict, credentials: Mapping[str, str], face: faces.Face
) -> None:
    """Return when `skill` calls no model, or there is access to one; Refusal with the way out when there is none."""
    if verdict.needs_model and not credentials and not engine_client.has_credentials(settings.home):
        cure = face.way_to_a_model(settings.transport)
        raise Refusal(f"skill {skill!r} calls a model, but there is no access to one: {cure}")


def _access(settings: Settings, request: Request, verdict: Verdict) -> dict[str, str]:
    """The model access that comes with the launch."""
    if request.unattended:
        return model_access.helped(settings) if verdict.needs_model else {}
    # A helper that gives no key is no reason to refuse what needs none.
    return model_access.found(settings) if verdict.needs_model else settings.credentials()


def _unicode(path: str) -> str:
    """`path` as Claude Code names a folder whose name is not UTF-8, so that the run is found to belong to it."""
    return os.fsencode(path).decode("utf-8", "replace")


def inspect(settings: Settings, name: str, face: faces.Face) -> tuple[Listed, Verdict]:
    """The skill `name` and what a launch of it needs, in the folder that `face` works in.

    Raises:
        Refusal: there is no such skill, or it cannot be launched.
    """
    roots = catalog.roots(settings.environ, face.folder(settings.environ))
    pinned = pinning.pin(settings.home, catalog.find(name, roots, face), face)
    return catalog.describe(name, roots), probe.verdict(settings.home, pinned)


def _refuse_allowance(request: Request, verdict: Verdict) -> None:
    """Refusal where the launch allows what is no tool, or the skill has no agent that could use one."""
    # Imported here: it takes a moment that launches without it need not take.
    from sagaflow_mcp import agent_tools  # noqa: PLC0415

    agent_tools.declared(request.allow)
    if not verdict.has_agents:
        raise Refusal(f"skill {request.skill!r} has no agent that a tool could be allowed to; launch without --allow")


def _make_ready(settings: Settings, checked: _Checked, run_id: str) -> str:
    """The address of the embedded server, once a worker takes this skill version; empty with the user's own."""
    return engine_client.ready(
        settings.home,
        skill=checked.request.skill,
        digest=checked.pinned.digest,
        run_id=run_id,
        credentials=checked.credentials,
        environ=settings.for_engine(),
    )


def _again(settings: Settings, request: Request) -> Launched | None:
    """What launching a chosen run id a second time comes to; None when it was never launched."""
    run_id = ids.parse_run_id(request.run_id or "")
    run_dir = Path(settings.home.run(run_id))
    marker = markers.find(settings.home, run_id)
    if marker is not None and markers.is_open(settings.home, run_id):
        if marker.arguments_hash != _arguments_hash(request):
            raise Refusal(
                f"run {run_id!r} is open with another skill, other arguments or other allowed tools; "
                "launch under another id"
            )
        return Launched(run_id=run_id, run_dir=str(run_dir), attached=True)
    ending = artifacts.read_json(run_dir / "ending.json")
    if ending is None:
        return None
    about = artifacts.read_json(run_dir / "run.json") or {}
    if ending.get("status") == "DONE" and about.get("arguments_hash") == _arguments_hash(request):
        return Launched(run_id=run_id, run_dir=str(run_dir), attached=True)
    summary = records.one_line(str(ending.get("summary", "")), 120)
    cure = request.face.retry_run.format(run_id=run_id)
    raise Refusal(
        f"run {run_id!r} has already ended ({ending.get('status')}: {summary}); {cure}, or launch under another id"
    )


def _arguments_hash(request: Request) -> str:
    allowed = [sorted(set(request.allow))] if request.allow else []
    text = json.dumps([request.skill, request.arguments, *allowed], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


async def _own_server(settings: Settings, run_id: str | None) -> tuple[str, Client | None]:
    """The label of the Temporal server, and a client where it is the user's own, which is asked before all else."""
    if not settings.temporal:
        return own_temporal.EMBEDDED, None
    # Imported here: it takes half a second, and a launch that is refused should not.
    from sagaflow_mcp import connection, starting, temporal  # noqa: PLC0415

    server = connection.own(settings)
    assert server is not None
    client = await temporal.connect(settings.home, server)
    if run_id is not None:
        await starting.refuse_taken(client, run_id, keys.KeyRing.of(settings.home).home_id)
    return server.label, client


def _announced(settings: Settings, checked: _Checked, run_id: str, server: str) -> bool:
    """Whether it is now written down that the run is about to start; false when another process was first.

    From here on its ending reaches the inbox, also when this process dies at once: then it never started.
    """
    request = checked.request
    marker = records.OpenRun(
        run_id=run_id,
        skill=request.skill,
        digest=checked.pinned.digest,
        project_dir=request.project_dir,
        created_at=records.now(),
        arguments_hash=checked.arguments_hash,
        launcher=request.launcher,
    )
    if not _claimed(settings, marker):
        return False
    with _undone_on((BaseException,), settings, run_id):
        _write_down(settings, checked, marker, server)
    return True


def _claimed(settings: Settings, marker: records.OpenRun) -> bool:
    with _not_started(settings, marker.run_id):
        return markers.claim(settings.home, marker)


def _write_down(settings: Settings, checked: _Checked, marker: records.OpenRun, server: str) -> None:
    """Have in the run's folder what it was launched with, if it is not there yet. Failure where that cannot be."""
    request, run_dir = checked.request, Path(settings.home.run(marker.run_id))
    about = {
        **marker._asdict(),
        "arguments": dict(request.arguments),
        "allow": list(request.allow),
        "bundled": request.bundled,
        "version": __version__,
        "temporal": server,
        **({"parent": request.ancestors[0], "ancestors": list(request.ancestors)} if request.ancestors else {}),
        # What the run's folder is called in paths that the run passes around, for machines where it lies elsewhere.
        "folders": [str(run_dir), str(run_dir.resolve())],
    }
    with _not_started(settings, marker.run_id):
        run_dir.mkdir(mode=0o700, exist_ok=True)
        if request.ancestors:
            inheriting.files(settings.home, marker.run_id, request.ancestors[0])
        if not (run_dir / "run.json").exists():
            artifacts.write_json(run_dir / "run.json", about)


@contextlib.contextmanager
def _not_started(settings: Settings, run_id: str) -> Iterator[None]:
    """Have an OSError of the body be a Failure which says that the run cannot be written down."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        where = settings.home.run(run_id)
        raise Failure(f"the run cannot be written to {where!r}: {reason}; nothing was started") from error


@contextlib.contextmanager
def _undone_on(errors: tuple[type[BaseException], ...], settings: Settings, run_id: str) -> Iterator[None]:
    """Leave nothing behind of a run that was not started, which one of `errors` says."""
    try:
        yield
    except errors:
        _undo(settings, run_id)
        raise


def _undo(settings: Settings, run_id: str) -> None:
    shutil.rmtree(settings.home.run(run_id), ignore_errors=True)
    # A marker that cannot be removed becomes an ending of its own: "the run never started".
    with contextlib.suppress(OSError):
        markers.remove(settings.home, run_id)


async def _connected(settings: Settings, checked: _Checked, run_id: str, own: Client | None) -> Client:
    """A client of the Temporal server, `own` where that is the user's, once a worker takes this skill version."""
    from sagaflow_mcp import temporal  # noqa: PLC0415 - as above

    address = await anyio.to_thread.run_sync(_make_ready, settings, checked, run_id)
    return own or await temporal.connect(settings.home, address)


async def _start(client: Client, settings: Settings, checked: _Checked, run_id: str) -> None:
    from sagaflow_mcp import starting  # noqa: PLC0415 - as above

    home_id = keys.KeyRing.of(settings.home).home_id
    request = checked.request
    await starting.start(
        client,
        starting.Start(
            run_id=run_id,
            workflow_type=checked.verdict.workflow_type,
            task_queue=str(ids.SkillQueue(home_id, request.skill, checked.pinned.digest)),
            envelope={
                "run_id": run_id,
                "skill": request.skill,
                "digest": checked.pinned.digest,
                "arguments": dict(request.arguments),
                **({"allow": list(request.allow)} if request.allow else {}),
                **({"ancestors": list(request.ancestors)} if request.ancestors else {}),
                "run_dir": settings.home.run(run_id),
                "inbox_path": settings.home.inbox_page,
                "project_dir": request.project_dir,
                "model_queue": ids.model_queue(home_id),
            },
            execution_timeout=request.execution_timeout or checked.verdict.execution_timeout,
            task_timeout=crash_points.CrashPoints(settings.home).task_timeout,
            skip_time=request.skip_time,
        ),
        ACCEPT_SECONDS,
    )
