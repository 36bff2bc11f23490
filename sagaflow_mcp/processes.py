"""A process that is known by the lock it holds: alive exactly as long as the lock is taken.

A pid alone proves nothing, since pids are used again; the kernel releases a lock however its holder died.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from sagaflow_mcp import records
from sagaflow_mcp.errors import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PATIENCE_SECONDS = 0.2
"""How long a lock is tried for: whoever asks `alive` holds it for some microseconds, as does a fork before its exec."""

RELEASE_SECONDS = 5.0
"""How long a dead child's lock may stay taken by what it left behind before its successor is given up."""

GRACE_SECONDS = 5.0
"""How long a child may take to end after SIGTERM before it gets SIGKILL."""

PID_SECONDS = 1.0
"""How long a child may hold its lock before its pid is written down."""

LOOK_SECONDS = 0.01
"""The pause between two looks at a lock."""

STUB = 'echo "$$" >"$0" && exec "$@"'
"""Writes its own pid down and becomes the child, so that the pid is known even if the parent dies meanwhile."""

LOCK_VARIABLE = "SAGAFLOW_LOCK_FD"
"""Tells a child which inherited descriptor is its lock."""

KEEPER_VARIABLE = "SAGAFLOW_KEEPER"
"""Tells the engine the pid of the shell that starts it again."""

LOG_LIMIT = 5_000_000
"""The size in bytes beyond which a log is rotated; two older ones are kept."""


class Place(NamedTuple):
    """The lock, pid and log files of the process `name` in `folder`."""

    folder: str
    name: str

    @property
    def lock(self) -> str:
        """The file that the process holds locked."""
        return os.path.join(self.folder, self.name + ".lock")

    @property
    def pid_file(self) -> str:
        """The file that the process wrote its pid to."""
        return os.path.join(self.folder, self.name + ".pid")

    @property
    def log(self) -> str:
        """The file that the process's output is appended to."""
        return os.path.join(self.folder, self.name + ".log")

    def alive(self) -> bool:
        """Whether the process lives. OSError if the lock exists and cannot be read."""
        try:
            descriptor = os.open(self.lock, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that two who ask at once do not take each other for the process.
            return not _locked(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    def pid(self) -> int | None:
        """The pid of the living process; None when it is dead or has not written it down."""
        pid = self.recorded_pid()
        return pid if self.alive() else None

    def recorded_pid(self) -> int | None:
        """The pid that was last written down, of a process that may be dead; None when there is none."""
        try:
            with open(self.pid_file, encoding="ascii", errors="replace") as file:
                text = file.read(32).strip()
        except FileNotFoundError:
            return None
        return int(text) if text.isdigit() and int(text) > 1 else None

    def gone(self, seconds: float) -> bool:
        """Whether the process was dead within `seconds`; waits for it."""
        deadline = time.monotonic() + seconds
        while self.alive():
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOOK_SECONDS)
        return True


def acquire(path: str, patience_seconds: float = PATIENCE_SECONDS, flags: int = os.O_RDWR | os.O_CREAT) -> int | None:
    """The descriptor of `path`, locked; None when somebody else holds it. OSError if it cannot be opened.

    It may be a folder, with `flags` that open one.
    """
    descriptor = os.open(path, flags, 0o600)
    deadline = time.monotonic() + patience_seconds
    while not _locked(descriptor, fcntl.LOCK_EX):
        if time.monotonic() >= deadline:
            os.close(descriptor)
            return None
        time.sleep(LOOK_SECONDS)
    return descriptor


def _locked(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Child:
    """A process that was started or found alive, leader of its own session."""

    def __init__(self, place: Place, pid: int, process: subprocess.Popen[bytes] | None = None) -> None:
        self.place = place
        self.pid = pid
        self.started_at = records.moment(os.stat(place.pid_file).st_mtime)
        self._process = process

    @classmethod
    def spawn(cls, place: Place, command: Sequence[str]) -> Child:
        """The process of `command`, started with the lock of `place` and its output in the log there.

        Raises:
            Failure: the lock is still taken.
            OSError: the files cannot be written, or no process can be made.
        """
        lock = acquire(place.lock, RELEASE_SECONDS)
        if lock is None:
            raise Failure(
                f"the lock {place.lock!r} is still held by what an earlier {place.name} left running; end that"
            )
        try:
            # Something is written, so that a full disk is noticed here and not by a shell that logs to that disk.
            with open(place.pid_file, "w", encoding="ascii") as file:
                file.write("starting\n")
            with open(place.log, "ab") as log:
                process = subprocess.Popen(
                    ["/bin/sh", "-c", STUB, place.pid_file, *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd="/",
                    env={**os.environ, "PYTHONUNBUFFERED": "1", LOCK_VARIABLE: str(lock)},
                    pass_fds=(lock,),
                    start_new_session=True,
                )
        finally:
            os.close(lock)
        return cls(place, process.pid, process)

    @classmethod
    def found(cls, place: Place) -> Child | None:
        """The process of `place` if it lives, else None. Failure if it lives and its pid is not on record."""
        deadline = time.monotonic() + PID_SECONDS
        while place.alive():
            pid = place.pid()
            if pid is not None:
                return cls(place, pid)
            if time.monotonic() >= deadline:
                raise Failure(
                    f"the lock {place.lock!r} is held by a process that {place.pid_file!r} does not name; end it"
                )
            time.sleep(LOOK_SECONDS)
        return None

    def watch(self, ended: Callable[[str], None]) -> None:
        """Have `ended` called, in a thread of its own, with how the process ended."""
        threading.Thread(target=lambda: ended(self._ending()), name=f"watch {self.place.name}", daemon=True).start()

    def end(self, grace_seconds: float) -> None:
        """End the process: SIGTERM, `grace_seconds`, then SIGKILL for it and all that it started in its session."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        if not self.place.gone(grace_seconds):
            self._sweep()
            self.place.gone(RELEASE_SECONDS)

    def _ending(self) -> str:
        if self._process is not None:
            ending = in_words(self._process.wait())
        else:
            # Not waitpid: it is no child of ours. The shared lock is granted when the process is gone.
            descriptor = os.open(self.place.lock, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            finally:
                os.close(descriptor)
            ending = "an unknown exit status"
        self._sweep()
        return ending

    def _sweep(self) -> None:
        """Kill the process's group: after its leader's death, what it left behind. macOS refuses that for zombies."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def keeper() -> int | None:
    """The pid of the shell that starts this process again when it dies; None when there is none or it is dead."""
    parent = os.getppid()
    return parent if os.environ.get(KEEPER_VARIABLE) == str(parent) else None


def in_words(status: int) -> str:
    """How a process ended, by its exit status as `subprocess` gives it: negative for a signal."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def rotate(path: str, limit: int = LOG_LIMIT) -> None:
    """Move the log `path` aside if it is larger than `limit` bytes. OSError if that cannot be done.

    It is copied and emptied, not renamed: a living process appends to it.
    """
    if not os.path.exists(path) or os.path.getsize(path) <= limit:
        return
    if os.path.exists(path + ".1"):
        os.replace(path + ".1", path + ".2")
    with open(path, "rb") as source, open(path + ".1", "wb") as copy:
        while chunk := source.read(65_536):
            copy.write(chunk)
    os.truncate(path, 0)


def last_line(path: str, since: int = 0, limit: int = 300) -> str:
    """The last line with words of the log `path` after byte `since`: harmless, at most `limit` characters, or empty."""
    try:
        with open(path, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(since if since <= end else 0, end - 4096))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    worded = [line.strip() for line in lines if line.strip()]
    return records.one_line(worded[-1], limit) if worded else ""


def note(text: str) -> None:
    """Write `text`, unless empty, to the engine's log. Never raises: a full disk must not end the engine."""
    if not text:
        return
    try:
        sys.stderr.write(f"{records.moment(time.time())} {text}\n")
        sys.stderr.flush()
    except OSError:
        pass


def leave(status: int) -> NoReturn:
    """End the process at once, its output written.

    Not through the interpreter's own shutdown: with Temporal's threads in it that aborts now and then, when all is done
    ("PyGILState_Release: thread state must be current").
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    os._exit(status)
