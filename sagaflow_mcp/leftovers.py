"""What the home holds that nobody needs any more: old skill versions, large payloads, what old sessions were shown."""

from __future__ import annotations

import contextlib
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sagaflow_mcp import artifacts, claude_process, pinning, temporal_server

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sagaflow_mcp.paths import Home

VERSION_KEPT = timedelta(days=1)
"""How long a version of a skill is kept after its last launch: an author goes back and forth between some."""

RUN_KEPT = timedelta(days=7)
"""How long an ended run keeps its version."""

BLOB_KEPT = timedelta(days=temporal_server.KEPT_DAYS + 10)
"""How long a payload is kept at least: as long as Temporal keeps the history that refers to it, and some days more."""

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


class _Ended(NamedTuple):
    """A run that has ended."""

    folder: Path
    launched: datetime
    ended: datetime


def clear(home: Home, in_use: InUse, now: datetime) -> int:
    """How many versions of skills were removed, after the other leftovers.

    Raises:
        OSError: the home cannot be read.
        Failure: launches were in the way all the time.
    """
    ended = list(_ended(home))
    launched = [run.launched for run in ended if run.ended >= now - BLOB_KEPT]
    _drop_blobs(home, min(now - BLOB_KEPT, in_use.since - MARGIN, *launched))
    _drop_sessions(home, now - SESSION_KEPT)
    _drop_notes(home, now - SESSION_KEPT)
    recent = [run.folder / "run.json" for run in ended if run.ended >= now - RUN_KEPT]
    about = [artifacts.read_json(path) or {} for path in recent]
    needed = {*in_use.versions, *((str(each.get("skill")), str(each.get("digest"))) for each in about)}
    return pinning.drop_unused(home, needed, (now - VERSION_KEPT).timestamp())


def _ended(home: Home) -> Iterator[_Ended]:
    for run in Path(home.runs).iterdir():
        # Where one of the two is missing, the run is open and has a marker, or it never was.
        with contextlib.suppress(OSError):
            yield _Ended(run, _written_at(run / "run.json"), _written_at(run / "ending.json"))


def _drop_blobs(home: Home, before: datetime) -> None:
    """Remove the payloads that were stored before `before`."""
    for blob in Path(home.blobs).iterdir():
        with contextlib.suppress(OSError):
            if _written_at(blob) < before:
                blob.unlink()


def _drop_sessions(home: Home, before: datetime) -> None:
    """Forget the sessions that were last shown something before `before`."""
    for session in Path(home.seen).iterdir():
        with contextlib.suppress(OSError):
            if _written_at(session) < before:
                shutil.rmtree(session)


def _drop_notes(home: Home, before: datetime) -> None:
    """Forget the ended processes of Claude Code on which something was last noted before `before`."""
    for note in Path(home.sessions).iterdir():
        process = claude_process.parse(note.stem)
        with contextlib.suppress(OSError):
            if process and not process.lives() and _written_at(note) < before:
                note.unlink()


def _written_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
