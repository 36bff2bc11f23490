"""Ended runs that are kept no longer: which these are, and how one goes so that no listing shows half of it."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sagaflow_mcp import artifacts, inbox, markers, records

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sagaflow_mcp.paths import Home

LEAST = timedelta(hours=1)
"""An ending is kept so long at least: those that Temporal has just told are looked at once more."""

GOING = "going.json"
"""What the ending of a run is called that goes: without an ending and a marker, it is none any more."""


class Freed(NamedTuple):
    """What was removed, or would be."""

    runs: tuple[str, ...] = ()
    entries: int = 0
    """Of the inbox, all of them dismissed."""
    versions: int = 0
    """Of skills."""
    blobs: int = 0
    sessions: int = 0
    """Of Claude Code, of which it is forgotten what they were shown."""
    logs: int = 0
    bytes: int = 0
    left: int = 0
    """Runs that are old enough, and could not go this time: so many at once, and what Temporal has forgotten."""


def expired(home: Home, needed: Collection[str], before: datetime) -> list[str]:
    """The runs that ended before `before`, have nothing unread and are needed by no open one; also those half gone.

    Raises:
        OSError: the home cannot be read.
    """
    kept = {*needed, *markers.run_ids(home), *_mentioned(home)}
    unread = {entry.run_id for entry in inbox.unread(home)}
    return sorted(
        folder.name
        for folder in _folders(Path(home.runs))
        if records.is_run_id(folder.name)
        and folder.name not in kept
        and (_is_going(folder) or (folder.name not in unread and _ended_before(folder, before)))
    )


def payloads(home: Home) -> dict[str, list[Path]]:
    """The files of the payloads that are stored apart, by how their names begin. OSError if they cannot be listed."""
    found: dict[str, list[Path]] = {}
    for blob in Path(home.blobs).iterdir():
        found.setdefault(blob.name.rpartition("-")[0], []).append(blob)
    return found


def payloads_of(stored: Mapping[str, list[Path]], owners: Iterable[str]) -> list[Path]:
    """Those of `stored` that belong to the executions `owners`; to one with a very long id, none."""
    begun = (base64.urlsafe_b64encode(each.encode()).decode().rstrip("=") for each in owners)
    # As `sealing` names them; of a long id it keeps the beginning, which several may share.
    return [blob for each in begun if len(each) < 100 for blob in stored.get(each, [])]  # noqa: PLR2004 - where it cuts


def remove(home: Home, run_id: str, blobs: Sequence[Path]) -> Freed:
    """What went with the run `run_id`: its folder, its dismissed entries, and `blobs`, the payloads of its executions.

    Nothing, where it was just launched or retried under its id. Cut off anywhere, `expired` names it again.

    Raises:
        OSError: a file cannot be removed.
        Failure: the inbox cannot be changed.
    """
    folder = Path(home.run(run_id))
    with contextlib.suppress(FileNotFoundError):
        (folder / "ending.json").rename(folder / GOING)
    if markers.exists(home, run_id):
        with contextlib.suppress(FileNotFoundError):
            (folder / GOING).rename(folder / "ending.json")
        return Freed()
    size = _size(folder) + sum(map(_size, blobs))
    for blob in blobs:
        blob.unlink(missing_ok=True)
    entries = inbox.forget(home, [entry.entry_id for entry, _ in inbox.for_run(home, run_id)])
    _forget_shown(home, entries)
    # Last of all what tells the next one that there is something to finish.
    for each in folder.iterdir():
        if each.name != GOING:
            _drop(each)
    shutil.rmtree(folder, ignore_errors=True)
    return Freed(runs=(run_id,), entries=len(entries), blobs=len(blobs), bytes=size)


def counted(home: Home, run_id: str, blobs: Sequence[Path]) -> Freed:
    """What `remove` would remove."""
    size = _size(Path(home.run(run_id))) + sum(map(_size, blobs))
    return Freed((run_id,), entries=len(inbox.for_run(home, run_id)), blobs=len(blobs), bytes=size)


def drop_notes(home: Home, before: datetime, *, dry_run: bool) -> Freed:
    """Dismissed entries from before `before` that belong to no run: those of schedules, and of runs that are gone.

    Raises:
        Failure: the inbox cannot be changed.
    """
    old = [
        entry.entry_id
        for entry, dismissed in inbox.entries(home)
        if dismissed and not Path(home.run(entry.run_id)).exists() and _moment(entry.created_at) < before
    ]
    if not dry_run:
        old = inbox.forget(home, old)
        _forget_shown(home, old)
    return Freed(entries=len(old))


def drop_logs(home: Home, before: datetime, *, dry_run: bool) -> Freed:
    """Logs that were put aside, and last written before `before`."""
    freed = Freed()
    for path in Path(home.engine).glob("*.log.[0-9]"):
        with contextlib.suppress(OSError):
            if _written_at(path) < before:
                size = path.stat().st_size
                if not dry_run:
                    path.unlink()
                freed = added(freed, Freed(logs=1, bytes=size))
    return freed


def added(first: Freed, second: Freed) -> Freed:
    """Both together."""
    numbers = [mine + theirs for mine, theirs in zip(first[1:], second[1:], strict=True)]
    return Freed(first.runs + second.runs, *numbers)


def _mentioned(home: Home) -> Iterator[str]:
    """The runs that open ones go on from, whose results they take over."""
    for run_id in markers.run_ids(home):
        about = artifacts.read_json(Path(home.run(run_id)) / "run.json") or {}
        yield from map(str, about.get("ancestors") or ())


def _is_going(folder: Path) -> bool:
    return (folder / GOING).exists() and not (folder / "ending.json").exists()


def _ended_before(folder: Path, before: datetime) -> bool:
    try:
        return _written_at(folder / "ending.json") < before
    except OSError:
        return False  # It is open, or its launch was cut off.


def _forget_shown(home: Home, entry_ids: Collection[str]) -> None:
    for session in _folders(Path(home.seen)):
        for entry_id in entry_ids:
            with contextlib.suppress(OSError):
                (session / entry_id).unlink()


def _drop(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    """The bytes in the file or folder `path`, as far as they can be counted."""
    with contextlib.suppress(OSError):
        if not path.is_dir():
            return path.lstat().st_size
        return sum(_size(Path(each.path)) for each in os.scandir(path))
    return 0


def _folders(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return [Path(each.path) for each in os.scandir(folder) if each.is_dir(follow_symlinks=False)]
    return []


def _written_at(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
