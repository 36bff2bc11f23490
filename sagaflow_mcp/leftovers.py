"""What the home holds that nobody needs any more: old skill versions, large payloads, what old sessions were shown."""

from __future__ import annotations

import contextlib
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sagaflow_mcp import artifacts, claude_process, pinning
from sagaflow_mcp.retention import Freed, added

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sagaflow_mcp.paths import Home

VERSION_KEPT = timedelta(days=1)
"""How long a version of a skill is kept after its last launch: an author goes back and forth between some."""

RUN_KEPT = timedelta(days=7)
"""How long an ended run keeps its version."""

HISTORY_KEPT = timedelta(days=90)
"""How long Temporal keeps a history, unless the settings say otherwise."""

BLOB_MARGIN = timedelta(days=10)
"""How much longer than the history that refers to it a payload is kept."""

SESSION_KEPT = timedelta(days=90)
"""How long it is known what a session of Claude Code was shown, and in which process it last was."""

MARGIN = timedelta(days=1)
"""How long before an execution began a payload can have been stored for it."""


class InUse(NamedTuple):
    """What open runs need."""

    versions: Collection[tuple[str, str]]
    """Skill and digest of each version that a marker or an open execution names."""
    since: datetime
    """When the oldest of these runs and executions began; now if there is none."""
    runs: Collection[str] = ()
    """Each run that is marked as open, or that an open execution belongs to."""


class _Ended(NamedTuple):
    """A run that has ended."""

    folder: Path
    launched: datetime
    ended: datetime


def clear(
    home: Home, in_use: InUse, now: datetime, history: timedelta = HISTORY_KEPT, *, dry_run: bool = False
) -> Freed:
    """What was removed of versions of skills, large payloads and what sessions were shown; with `dry_run`, would be.

    Raises:
        OSError: the home cannot be read.
        Failure: launches were in the way all the time.
    """
    ended = list(_ended(home))
    oldest = now - history - BLOB_MARGIN
    launched = [run.launched for run in ended if run.ended >= oldest]
    blobs = _drop_blobs(home, min(oldest, in_use.since - MARGIN, *launched), dry_run=dry_run)
    sessions = _drop_sessions(home, now - SESSION_KEPT, dry_run=dry_run)
    if not dry_run:
        _drop_notes(home, now - SESSION_KEPT)
    recent = [run.folder / "run.json" for run in ended if run.ended >= now - RUN_KEPT]
    about = [artifacts.read_json(path) or {} for path in recent]
    needed = {*in_use.versions, *((str(each.get("skill")), str(each.get("digest"))) for each in about)}
    versions, size = pinning.drop_unused(home, needed, (now - VERSION_KEPT).timestamp(), dry_run=dry_run)
    return added(blobs, added(sessions, Freed(versions=versions, bytes=size)))


def _ended(home: Home) -> Iterator[_Ended]:
    for run in Path(home.runs).iterdir():
        # Where one of the two is missing, the run is open and has a marker, or it never was.
        with contextlib.suppress(OSError):
            yield _Ended(run, _written_at(run / "run.json"), _written_at(run / "ending.json"))


def _drop_blobs(home: Home, before: datetime, *, dry_run: bool) -> Freed:
    """Remove the payloads that were stored before `before`."""
    count, size = 0, 0
    for blob in Path(home.blobs).iterdir():
        with contextlib.suppress(OSError):
            if _written_at(blob) < before:
                size += blob.stat().st_size
                count += 1
                if not dry_run:
                    blob.unlink()
    return Freed(blobs=count, bytes=size)


def _drop_sessions(home: Home, before: datetime, *, dry_run: bool) -> Freed:
    """Forget the sessions that were last shown something before `before`."""
    count = 0
    for session in Path(home.seen).iterdir():
        with contextlib.suppress(OSError):
            if _written_at(session) < before:
                count += 1
                if not dry_run:
                    shutil.rmtree(session)
    return Freed(sessions=count)


def _drop_notes(home: Home, before: datetime) -> None:
    """Forget the ended processes of Claude Code on which something was last noted before `before`."""
    for note in Path(home.sessions).iterdir():
        process = claude_process.parse(note.stem)
        with contextlib.suppress(OSError):
            if process and not process.lives() and _written_at(note) < before:
                note.unlink()


def _written_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
