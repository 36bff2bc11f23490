"""How a person holds up, lets go on or ends a run, from whichever session or shell."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from sagaflow_mcp import artifacts, following, inbox, pauses, records, run_updates, runs
from sagaflow_mcp.errors import Failure, Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from temporalio.client import Client

    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.runs import Run
    from sagaflow_mcp.settings import Settings

CLEAN_UP_SECONDS = 15.0
"""How long a cancellation is watched; the run may clean up for longer."""

LOCK_POLL_SECONDS = 0.05
"""Between two looks at whether another process is done with the run."""

SETTLED = "what became of it is told within a minute"
"""What to expect of a run that is marked as open, and is not at Temporal: its ending is about to be told."""

PAUSED = "paused: no step begins until it is resumed"
"""What the inbox says of a run that a person has paused."""


@dataclass(frozen=True)
class Cancelled:
    """What came of a cancellation."""

    run: Run
    """As it was at the last look."""
    again: bool
    """Whether it had been asked for before."""


async def pause(settings: Settings, run_id: str) -> None:
    """Hold up the run: no step begins, and no new attempt at one; a step in flight ends, and timers run on.

    Raises:
        Refusal: there is no such run, it has ended, or it is paused.
        Failure: the engine, Temporal or the run's worker does not answer, or the home cannot be changed.
    """
    run = await _open(settings, run_id, "pause")
    run_dir = Path(run.run_dir)
    async with _alone(run):
        # Before the run hears of it: what waits for a worker is held from this moment on, and whoever ends the pause,
        # the run's own ending too, finds the entry to close.
        is_new = await anyio.to_thread.run_sync(put, settings.home, run)
        since = pauses.since(run_dir)
        try:
            changed = await _hold(settings, run_id, shut=True)
        except Refusal:
            await anyio.to_thread.run_sync(take_back, settings.home, run)
            raise
    if not is_new and not changed:
        raise Refusal(f"run {run_id!r} is paused already, since {since}")


def put(home: Home, run: Run) -> bool:
    """List the run as paused, and tell of it; whether it was not before. Failure when the home cannot be changed."""
    run_dir = Path(run.run_dir)
    with artifacts.changing("the pause", run_dir):
        is_new = pauses.put(run_dir)
    inbox.deliver(home, _entry(run, pauses.since(run_dir)))
    return is_new


def take_back(home: Home, run: Run) -> None:
    """Undo `put`, where the run is not paused after all. Failure when the home cannot be changed."""
    run_dir = Path(run.run_dir)
    since = pauses.since(run_dir)
    with artifacts.changing("the pause", run_dir):
        was_listed = pauses.remove(run_dir)
    if was_listed:
        inbox.close(home, pauses.entry_id(run.run_id, since))


async def resume(settings: Settings, run_id: str) -> None:
    """Let the run go on that was paused.

    Raises:
        Refusal: there is no such run, it has ended, or it is not paused.
        Failure: the engine, Temporal or the run's worker does not answer, or the home cannot be changed.
    """
    run = await _open(settings, run_id, "resume")
    async with _alone(run):
        since = pauses.since(Path(run.run_dir))
        # In this order: a run whose file is gone would be listed as running while its workflow still waits.
        changed = await _hold(settings, run_id, shut=False)
        await _let_go(settings, run)
    if not changed and not since:
        now = await anyio.to_thread.run_sync(runs.get, settings.home, run_id)
        raise Refusal(f"run {run_id!r} is not paused; it is {now.state}")


async def cancel(settings: Settings, run_id: str, *, force: bool = False) -> Cancelled:
    """End the run: what it is doing stops, its own cleaning up is done, and it has ended as cancelled.

    Args:
        settings: the home, and what its user has chosen.
        run_id: the run.
        force: end it at once, without cleaning up: it is terminated.

    Raises:
        Refusal: there is no such run, or it has ended.
        Failure: the engine or Temporal does not answer, or the home cannot be changed.
    """
    run = await _open(settings, run_id, "cancel")
    async with _answering(run_id):
        client = await run_updates.connected(settings)
        again = await _end(client, run_id, force=force)
    async with _alone(run):
        await _let_go(settings, run)
    async for found in following.follow(settings, run_id, CLEAN_UP_SECONDS):
        run = found
    return Cancelled(run, again)


async def _open(settings: Settings, run_id: str, action: str) -> Run:
    """The run `run_id`. Refusal when there is none, or it has ended, and there is nothing to do `action` to."""
    run = await anyio.to_thread.run_sync(runs.get, settings.home, run_id)
    if not run.is_open:
        raise Refusal(f"run {run_id!r} has ended ({run.state}); there is nothing to {action}")
    return run


async def _end(client: Client, run_id: str, *, force: bool) -> bool:
    """Whether a cancellation had been asked for before; this one, or the termination, is now at the server."""
    from sagaflow_mcp import temporal  # noqa: PLC0415 - it takes half a second, and what is refused should not

    handle = client.get_workflow_handle(run_id)
    if force:
        await handle.terminate(reason="terminated by a person", rpc_timeout=temporal.RPC_LIMIT)
        return False
    found = await handle.describe(rpc_timeout=temporal.RPC_LIMIT)
    if found.close_time is not None:
        raise Refusal(f"run {run_id!r} has ended meanwhile; {SETTLED}")
    await handle.cancel(rpc_timeout=temporal.RPC_LIMIT)
    return found.raw_description.workflow_extended_info.cancel_requested


async def _hold(settings: Settings, run_id: str, *, shut: bool) -> bool:
    """Whether the workflow was not so before."""
    from sagaflow_mcp.durable import holding  # noqa: PLC0415 - as above

    what = "the pause" if shut else "the resumption"
    return bool(await run_updates.send(settings, run_id, holding.HOLD, [shut], what))


async def _let_go(settings: Settings, run: Run) -> None:
    """Have steps begin again that the worker held back, at once."""
    run_dir = Path(run.run_dir)
    since = await anyio.to_thread.run_sync(pauses.since, run_dir)
    with artifacts.changing("the end of the pause", run_dir):
        was_paused = await anyio.to_thread.run_sync(pauses.remove, run_dir)
    if not was_paused:
        return
    await anyio.to_thread.run_sync(inbox.close, settings.home, pauses.entry_id(run.run_id, since))
    from sagaflow_mcp import held_steps  # noqa: PLC0415 - as above

    await held_steps.wake(await run_updates.connected(settings), run.run_id)


@contextlib.asynccontextmanager
async def _alone(run: Run) -> AsyncIterator[None]:
    """The right to pause the run and to let it go on: what its file says would else not be what its workflow does."""
    # Of the folder itself, so that a process which is killed leaves nothing behind. Somebody may have removed it.
    with artifacts.changing("the folder of the run", run.run_dir):
        await anyio.Path(run.run_dir).mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(run.run_dir, os.O_RDONLY | os.O_CLOEXEC)
    try:
        await _lock(descriptor, run.run_id)
        yield
    finally:
        os.close(descriptor)


async def _lock(descriptor: int, run_id: str) -> None:
    """Return once no other process has it; Failure where one does for as long as it takes to be sure that it hangs."""
    deadline = time.monotonic() + run_updates.SECONDS
    while not _try_lock(descriptor):
        if time.monotonic() > deadline:
            raise Failure(f"run {run_id!r} is being paused or resumed by another process, which hangs; end that")
        await anyio.sleep(LOCK_POLL_SECONDS)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.asynccontextmanager
async def _answering(run_id: str) -> AsyncIterator[None]:
    """Turn what Temporal answers into one sentence."""
    from temporalio.service import RPCError  # noqa: PLC0415 - as above

    try:
        yield
    except RPCError as error:
        if error.status.name == "NOT_FOUND":
            raise Refusal(f"run {run_id!r} has ended meanwhile; {SETTLED}") from None
        raise Failure(f"Temporal does not end run {run_id!r}: {records.one_line(error.message)}") from error


def _entry(run: Run, since: str) -> records.Entry:
    return records.Entry(
        entry_id=pauses.entry_id(run.run_id, since),
        run_id=run.run_id,
        skill=run.skill,
        status="PAUSED",
        summary=PAUSED,
        created_at=since or records.moment(time.time()),
        report_path=run.report_path,
        project_dir=run.project_dir,
    )
