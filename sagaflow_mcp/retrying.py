"""How a run that has not ended well is taken up again, without doing again what is done."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from sagaflow_mcp import (
    artifacts,
    engine_client,
    launch,
    markers,
    model_access,
    pinning,
    probe,
    records,
    run_updates,
    runs,
    steering,
)
from sagaflow_mcp.errors import Failure, Refusal

if TYPE_CHECKING:
    from sagaflow_mcp.faces import Face
    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.settings import Settings

TOLD_SECONDS = 15.0
"""How long the ending of a run may take to come into the inbox; until then the run is still marked as open."""

LOOK_SECONDS = 0.05
"""Between two looks at whether it has."""

WITH_CURRENT = "a new run can take over what it has done: retry with --with-current (with_current=true over MCP)"
"""The way out where the run itself cannot go on."""


async def retry(settings: Settings, run_id: str, *, face: Face, launcher: str = "") -> None:
    """Have the run go on from the step that failed, in the version of the skill that it was launched with.

    What is finished is not done again, neither before that step nor beside it.

    Args:
        settings: the home, and what its user has chosen; the run's model calls use its credentials from now on.
        run_id: a run that has failed, was cancelled or terminated, or timed out.
        face: whom a refusal tells what to do.
        launcher: the Claude Code process that asks, which is told from now on what becomes of the run; empty for none.

    Raises:
        Refusal: there is no such run, it is open or done, or what it needs to go on is gone.
        Failure: the engine, Temporal or the run's worker does not answer, the run's ending is not in the inbox in time,
            or the home cannot be changed.
    """
    run = await anyio.to_thread.run_sync(_retried, settings, run_id)
    about = _about(run)
    credentials = await anyio.to_thread.run_sync(_check, settings, about, face)
    marker = _marker({**about, "launcher": launcher or about.get("launcher", "")}, run.closed_at)
    await anyio.to_thread.run_sync(_make_ready, settings, marker, credentials)
    # Before the reset: an engine that ends now is started again for the run.
    with artifacts.changing("the retry", settings.home.open_runs):
        await _claim(settings.home, marker, run.closed_at)
    try:
        was_paused = await _reset(settings, run)
    except Refusal as error:
        await anyio.to_thread.run_sync(markers.remove, settings.home, run_id)
        raise Refusal(f"run {run_id!r} cannot go on: {error}; {WITH_CURRENT}") from None
    # After anything else the marker stays: the reset may have come through. Where it has not, the worker takes the
    # marker back after a while.
    # Once more: a worker that was started in between has found no open run of this version.
    await anyio.to_thread.run_sync(_make_ready, settings, marker, credentials)
    await anyio.to_thread.run_sync(lambda: artifacts.note_event(Path(run.run_dir), "run_retried"))
    if launcher:
        with contextlib.suppress(OSError):  # It goes on; only who is told of it stays as it was.
            await anyio.to_thread.run_sync(_belongs_to, Path(run.run_dir) / "run.json", about, launcher)
    if was_paused:
        try:
            await _let_go_on(settings, run_id)
        except Failure as error:
            cure = face.resume_run.format(run_id=run_id)
            raise Failure(f"run {run_id!r} was retried, and is paused as it had been: {error}; {cure}") from error


async def with_current(settings: Settings, run_id: str, *, face: Face, launcher: str = "") -> launch.Launched:
    """A new run of what the run `run_id` was launched with, in the skill's current version, from the same journal.

    Steps whose input is the same are not done again; what the old run has asked people, it asks again.

    Raises:
        Refusal: there is no such run, it is open or done, or its launch is refused now.
        Failure: the engine or Temporal does not answer.
    """
    run = await anyio.to_thread.run_sync(_retried, settings, run_id)
    about = _about(run)
    return await launch.launch(
        settings,
        launch.Request(
            skill=str(about.get("skill")),
            arguments=about.get("arguments") or {},
            project_dir=str(about.get("project_dir", "")),
            allow=tuple(about.get("allow") or ()),
            ancestors=(run_id, *(about.get("ancestors") or ())),
            face=face,
            launcher=launcher,
            bundled=bool(about.get("bundled")),
        ),
    )


def _retried(settings: Settings, run_id: str) -> runs.Run:
    """The run `run_id`; Refusal unless it has ended, and not well."""
    run = runs.get(settings.home, run_id)
    if run.is_open:
        raise Refusal(f"run {run_id!r} has not ended ({run.state}); there is nothing to retry")
    if run.state == "DONE":
        raise Refusal(f"run {run_id!r} is DONE; there is nothing to retry. Launch it again for another result")
    return run


def _about(run: runs.Run) -> dict[str, Any]:
    """What the run was launched with; Refusal where its folder no longer says so."""
    about = artifacts.read_json(Path(run.run_dir) / "run.json") or {}
    is_whole = isinstance(about.get("skill"), str) and isinstance(about.get("arguments") or {}, dict)
    if not is_whole or run.is_damaged:
        raise Refusal(
            f"run {run.run_id!r} cannot be retried: 'run.json' or 'ending.json' in {run.run_dir!r} is gone or damaged; "
            "launch the skill again"
        )
    return about


def _check(settings: Settings, about: dict[str, Any], face: Face) -> dict[str, str]:
    """The access to a model that the run goes on with.

    Refusal when the run's version of the skill is gone, or there is no access to a model that it needs.
    """
    pinned = pinning.locate(settings.home, str(about.get("skill")), str(about.get("digest")))
    try:
        pinning.verify(pinned)
    except Refusal as error:
        raise Refusal(f"{error}; {WITH_CURRENT}") from None
    verdict = probe.verdict(settings.home, pinned)
    credentials = model_access.found(settings) if verdict.needs_model else {}
    launch.refuse_without_model(settings, pinned.name, verdict, credentials, face)
    return credentials


def _marker(about: dict[str, Any], closed_at: str) -> records.OpenRun:
    """That of the run which goes on; it is younger than the ending, by which it is told from one in delivery."""
    fields: dict[str, Any] = {name: str(about.get(name, "")) for name in records.OpenRun._fields if name != "schema"}
    return records.OpenRun(**{**fields, "created_at": markers.after(closed_at, records.now())})


async def _claim(home: Home, marker: records.OpenRun, closed_at: str) -> None:
    """Have the run marked as open by this retry, as soon as its ending of `closed_at` has been told."""
    deadline = time.monotonic() + TOLD_SECONDS
    while not await anyio.to_thread.run_sync(_claimed, home, marker, closed_at):
        if time.monotonic() > deadline:
            raise Failure(
                f"run {marker.run_id!r} has ended, and its ending has not come into the inbox within "
                f"{TOLD_SECONDS:g} s; try again"
            )
        await anyio.sleep(LOOK_SECONDS)


def _claimed(home: Home, marker: records.OpenRun, closed_at: str) -> bool:
    """Whether the run is now marked by this retry; not while its ending has to be told. Refusal for a second retry."""
    if markers.claim(home, marker):
        return True
    if markers.is_since(home, marker.run_id, closed_at):
        raise Refusal(f"run {marker.run_id!r} is being retried already")
    return False


async def _let_go_on(settings: Settings, run_id: str) -> None:
    try:
        await steering.resume(settings, run_id)
    except Refusal:
        # Somebody else has let it go on, or ended it.
        if (await anyio.to_thread.run_sync(runs.get, settings.home, run_id)).state == "PAUSED":
            raise


def _belongs_to(path: Path, about: dict[str, Any], launcher: str) -> None:
    """Write down whose the run is now, in a file whose time is that of the launch."""
    before = path.stat()
    artifacts.write_json(path, {**about, "launcher": launcher})
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _make_ready(settings: Settings, marker: records.OpenRun, credentials: dict[str, str]) -> None:
    engine_client.ready(
        settings.home,
        skill=marker.skill,
        digest=marker.digest,
        run_id=marker.run_id,
        credentials=credentials,
        environ=settings.for_engine(),
    )


async def _reset(settings: Settings, run: runs.Run) -> bool:
    """Whether the run is paused where it now goes on, since it was before."""
    # Imported here: it takes half a second, and a retry that is refused should not.
    from sagaflow_mcp import resetting  # noqa: PLC0415

    client = await run_updates.connected(settings)
    try:
        point = await resetting.again(client, run.run_id, Path(run.run_dir), lambda: steering.put(settings.home, run))
    except Refusal:
        await anyio.to_thread.run_sync(steering.take_back, settings.home, run)
        raise
    return point.was_paused
