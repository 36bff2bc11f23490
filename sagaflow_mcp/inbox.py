"""The inbox: a maildir in which runs leave what a person should know.

An entry is a file `<entry_id>.json`: unread in `new`, dismissed in `cur`. It appears by a rename, whole and on disk, so
readers take no lock. Writers hold one, which decides between two that deliver or dismiss the same entry.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sagaflow_mcp import paths, records
from sagaflow_mcp.errors import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.records import Entry

SUMMARY_LIMIT = 1_000
"""Characters of a summary that an entry keeps."""

PAGE_LIMIT = 200
"""Unread entries on the page for people; of the dismissed ones it shows a quarter as many."""

LOCK_SECONDS = 30
"""How long a writer waits for the others. One change takes milliseconds; longer means that a writer is stuck."""

_LOCK_POLL_SECONDS = 0.002
_SUFFIX = ".json"
_SESSION_IDS = re.compile(r"[A-Za-z0-9_-]{1,100}")


def deliver(home: Home, entry: Entry) -> bool:
    """Whether `entry` is new in the inbox, where it now is for certain; False when its id was delivered before.

    The summary is kept as one harmless line of at most `SUMMARY_LIMIT` characters.

    Raises:
        ValueError: the entry is not one that could be read back.
        Failure: it could not be written.
    """
    text = entry._replace(summary=records.one_line(entry.summary, SUMMARY_LIMIT)).to_json()
    records.Entry.parse(text)
    name = entry.entry_id + _SUFFIX
    with _writing(home):
        if any(os.path.lexists(_path(home, part, name)) for part in ("new", "cur")):
            return False
        _write_durably(_path(home, "tmp", name), text)
        os.rename(_path(home, "tmp", name), _path(home, "new", name))
        _sync_folder(_path(home, "new"))
        return True


def dismiss(home: Home, run_ids: Iterable[str] | None) -> list[str]:
    """The ids, sorted, of the runs of which an entry was unread and now is not; `None` means every run.

    A question stays unread until its run has ended. Ids that the inbox does not know are passed over.

    Raises:
        Failure: the inbox could not be changed.
    """
    wanted = None if run_ids is None else set(run_ids)
    dismissed = set()
    with _writing(home):
        for name in _names(home, "new"):
            run_id = _run_id(name)
            if (wanted is None or run_id in wanted) and not _is_open_question(home, name):
                os.rename(_path(home, "new", name), _path(home, "cur", name))
                dismissed.add(run_id)
        if dismissed:
            _sync_folder(_path(home, "cur"))
            _sync_folder(_path(home, "new"))
    return sorted(dismissed)


def close(home: Home, entry_id: str) -> None:
    """Dismiss a question that needs no answer any more. Failure if the inbox could not be changed."""
    name = entry_id + _SUFFIX
    with _writing(home), suppress(FileNotFoundError):
        os.rename(_path(home, "new", name), _path(home, "cur", name))
        _sync_folder(_path(home, "cur"))
        _sync_folder(_path(home, "new"))


def forget(home: Home, entry_ids: Iterable[str]) -> list[str]:
    """Those of `entry_ids` that were dismissed, and now are gone. Failure if the inbox could not be changed.

    One that is unread stays.
    """
    gone = []
    with _writing(home):
        for entry_id in entry_ids:
            with suppress(FileNotFoundError):
                os.unlink(_path(home, "cur", entry_id + _SUFFIX))
                gone.append(entry_id)
    return gone


def unread(home: Home, limit: int | None = None) -> list[Entry]:
    """The unread entries, newest first; with `limit`, that many of those delivered last. OSError if unreadable.

    A damaged file is left out: `damaged` reports it.
    """
    return _newest_first(_entries(home, "new", _names(home, "new", limit)))


def unread_ids(home: Home, limit: int) -> list[str]:
    """The ids of the `limit` unread entries that were delivered last, damaged ones included. OSError if unreadable."""
    return [name[: -len(_SUFFIX)] for name in _names(home, "new", limit)]


def find_unread(home: Home, entry_id: str) -> Entry | None:
    """The unread entry of that id; None when it was dismissed meanwhile, or is damaged."""
    for entry in _entries(home, "new", [entry_id + _SUFFIX]):
        return entry
    return None


def unread_count(home: Home) -> int:
    """How many entries are unread, the damaged ones included. OSError if unreadable."""
    return len(_names(home, "new"))


def entries(home: Home) -> list[tuple[Entry, bool]]:
    """All entries, newest first, each with whether it was dismissed. OSError if unreadable."""
    return _with_flags(home, "")


def for_run(home: Home, run_id: str) -> list[tuple[Entry, bool]]:
    """The entries of one run, newest first, each with whether it was dismissed. OSError if unreadable."""
    return _with_flags(home, run_id)


def has(home: Home, entry_id: str) -> bool:
    """Whether an entry of that id was ever delivered, dismissed or not."""
    return any(os.path.exists(_path(home, part, entry_id + _SUFFIX)) for part in ("new", "cur"))


def damaged(home: Home) -> list[str]:
    """One sentence for each file in the inbox that is not an entry. OSError if unreadable."""
    return [
        f"{_path(home, part, name)} is not an inbox entry: {records.one_line(reason)}"
        for part in ("new", "cur")
        for name, reason in _no_entries(home, part).items()
    ]


def _no_entries(home: Home, part: str) -> dict[str, str]:
    """The files in `part` that are no entries, each with why."""
    found = {}
    for name in sorted(os.listdir(_path(home, part))):
        path = _path(home, part, name)
        try:
            _read(path)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            found[name] = str(error)
    return found


def move_damaged(home: Home) -> list[str]:
    """Where the files lie now that were in the inbox and are no entries. Failure where that cannot be done."""
    folder = _path(home, "damaged")
    moved = []
    with _writing(home):
        for part in ("new", "cur"):
            for name in _no_entries(home, part):
                os.makedirs(folder, mode=0o700, exist_ok=True)
                target = os.path.join(folder, f"{name}.{os.urandom(4).hex()}")
                os.rename(_path(home, part, name), target)
                moved.append(target)
    return moved


def claim(home: Home, session_id: str, entry_id: str) -> bool:
    """Whether the caller is the one to show this entry to this session: true once for each pair.

    Raises:
        ValueError: one of the ids cannot name a file.
        OSError: the claim could not be written.
    """
    check_session(session_id)
    if not records.is_entry_id(entry_id):
        raise ValueError(f"entry id {entry_id[:130]!r} is not '<run_id>~<1 to 20 of a-z, 0-9>'")
    folder = os.path.join(home.seen, session_id)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    try:
        os.close(os.open(os.path.join(folder, entry_id), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True


def claimed(home: Home, session_id: str) -> set[str]:
    """The ids of the entries that this session was shown."""
    try:
        return {name for name in os.listdir(os.path.join(home.seen, session_id)) if records.is_entry_id(name)}
    except OSError:
        return set()


def check_session(session_id: str) -> None:
    """Return when `session_id` can name a folder; ValueError otherwise."""
    if not _SESSION_IDS.fullmatch(session_id):
        raise ValueError(f"session id {session_id[:120]!r} is not 1 to 100 letters, digits, '_' and '-'")


def _write_page(home: Home) -> None:
    shown = unread(home, PAGE_LIMIT)
    dismissed = _newest_first(_entries(home, "cur", _names(home, "cur", PAGE_LIMIT // 4)))
    counts = len(_names(home, "new")), len(_names(home, "cur"))
    paths.write_atomically(home.inbox_page, page(shown, dismissed, unread_count=counts[0], dismissed_count=counts[1]))


def page(shown: list[Entry], dismissed: list[Entry], *, unread_count: int, dismissed_count: int) -> str:
    """The text of `INBOX.md`. Entries are indented: to Markdown they are literal text, whatever they say."""
    parts = ["# Sagaflow inbox", "Written after each change, newest first. Summaries are what the runs said."]
    for title, count, group in (("Unread", unread_count, shown), ("Dismissed", dismissed_count, dismissed)):
        parts += [f"## {title} ({count})", *map(_paragraph, group)]
        if count > len(group):
            parts.append(f"{count - len(group)} more are not shown here.")
    return "\n\n".join(parts) + "\n"


def _paragraph(entry: Entry) -> str:
    moment = entry.created_at[:16].replace("T", " ")
    lines = [f"{entry.status} {entry.run_id} ({moment} UTC, {entry.skill})", entry.summary, entry.report_path]
    return "    " + "\n      ".join([records.one_line(line, SUMMARY_LIMIT) for line in lines if line])


def _path(home: Home, *parts: str) -> str:
    return os.path.join(home.inbox, *parts)


def _run_id(name: str) -> str:
    return name.partition("~")[0]


def _names(home: Home, part: str, limit: int | None = None) -> list[str]:
    """The files in `part` whose names are those of entries; with `limit`, that many of those delivered last."""
    names = [
        n for n in os.listdir(_path(home, part)) if n.endswith(_SUFFIX) and records.is_entry_id(n[: -len(_SUFFIX)])
    ]
    if limit is None or len(names) <= limit:
        return names
    return sorted(names, key=lambda name: _delivered_at(_path(home, part, name)), reverse=True)[:limit]


def _delivered_at(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _read(path: str) -> Entry:
    """The entry in the file `path`; OSError if it cannot be read, ValueError if it is not that entry."""
    # Neither a link nor a pipe put there can make a reader follow or wait.
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), encoding="utf-8") as file:
        entry = records.Entry.parse(file.read(records.SIZE_LIMIT + 1))
    if os.path.basename(path) != entry.entry_id + _SUFFIX:
        raise ValueError(f"it holds the entry {entry.entry_id!r}")
    return entry


def _entries(home: Home, part: str, names: Iterable[str]) -> Iterator[Entry]:
    """The entries in the files `names`; those that are gone or damaged are left out."""
    for name in names:
        with suppress(OSError, ValueError):
            yield _read(_path(home, part, name))


def _newest_first(found: Iterable[Entry]) -> list[Entry]:
    return sorted(found, key=lambda entry: (entry.age_key, entry.entry_id), reverse=True)


def _with_flags(home: Home, run_id: str) -> list[tuple[Entry, bool]]:
    """All entries, or those of one run. What is dismissed meanwhile is found in `cur`, which is read last."""
    found: dict[Entry, bool] = {}
    for part in ("new", "cur"):
        names = [name for name in _names(home, part) if not run_id or _run_id(name) == run_id]
        found.update(dict.fromkeys(_entries(home, part, names), part == "cur"))
    return [(entry, found[entry]) for entry in _newest_first(found)]


def _is_open_question(home: Home, name: str) -> bool:
    for question in _entries(home, "new", [name]):
        if question.status == "NEEDS_INPUT":
            others = [entry for entry, _ in for_run(home, question.run_id)]
            return not any(entry.is_ending and entry.age_key >= question.age_key for entry in others)
    return False


@contextmanager
def _writing(home: Home) -> Iterator[None]:
    """The right to change the inbox; the page for people is written afterwards.

    Of many who want to write, the last writes the page for all: each holds `.writers` shared until it has its turn, so
    whoever then gets it exclusively knows that nobody follows.
    """
    with _failing(home), _locked(_path(home, ".writers"), fcntl.LOCK_SH) as writers, _locked(_path(home, ".lock")):
        yield
        if _try_lock(writers, fcntl.LOCK_EX):
            fcntl.flock(writers, fcntl.LOCK_UN)
            # The change is made and must not be reported as failed. The next one writes the page again.
            with suppress(OSError):
                _write_page(home)


@contextmanager
def _failing(home: Home) -> Iterator[None]:
    """Turns what the system says into what the user can do about it."""
    try:
        yield
    except OSError as error:
        raise Failure(
            f"the inbox {home.inbox!r} cannot be changed ({error.strerror or error}): it must be a folder that you can "
            "write to, on a disk with space left; see `sagaflow doctor`"
        ) from error


@contextmanager
def _locked(path: str, kind: int = fcntl.LOCK_EX) -> Iterator[int]:
    """A descriptor of the file `path` with a lock; Failure if it cannot be had within `LOCK_SECONDS`."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while not _try_lock(descriptor, kind):
            if time.monotonic() > deadline:
                raise Failure(f"{path!r} has been locked for {LOCK_SECONDS} s: another Sagaflow process hangs; end it")
            time.sleep(_LOCK_POLL_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_durably(path: str, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
