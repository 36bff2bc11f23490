"""Keeping one child alive: started, found again, started anew when it dies, given up in a crash loop."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from sagaflow_mcp import paths, patience, processes
from sagaflow_mcp.errors import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_SECONDS = 0.03
"""The pause between two looks at whether a child is ready, where it does not say so itself."""

TICK_SECONDS = 1.0
"""The pause between two looks at whether a child hangs."""

FULL_DISK_BYTES = 1_000_000
"""With less room than this a disk is full: the server's database grows by more at once."""


class Sign(NamedTuple):
    """The last sign of life that a child gave."""

    mark: object
    """A new object for each sign; None when there is none."""

    enough_seconds: float
    """How long one sign is good for; without another by then the child hangs."""

    lack: str
    """What is missing when it hangs."""


NOBODY: dict[str, Any] = {"pid": None, "started_at": None, "restarts": 0}
"""The `Charge.status` of a child that there is none of."""


class Charge:
    """One child and the thread that keeps it alive.

    Args:
        place: the child's files.
        changed: guards and announces all state, here and in the engine.
        command: gives the command line before each start, and may first wait for what the child depends on; None when
            the child is not wanted any more.
        ready_seconds: how long the child may take to be ready before it is ended.
        is_ready: says whether the child is ready; None where `announce` is called instead.
        last_sign: gives the last sign of life of a child that is ready; None for a child that gives none.
        excuse: gives a new object for each report of a child that is not ready because it waits for something else, and
            None for one that does not; None for a child that never does.
    """

    def __init__(
        self,
        place: processes.Place,
        changed: threading.Condition,
        command: Callable[[], list[str] | None],
        *,
        ready_seconds: float,
        is_ready: Callable[[], bool] | None = None,
        last_sign: Callable[[], Sign] | None = None,
        excuse: Callable[[], object] | None = None,
    ) -> None:
        self.child: processes.Child | None = None
        self.ready = False
        self.reason = ""
        self.failed = False
        self._place = place
        self._changed = changed
        self._command = command
        self._ready_seconds = ready_seconds
        self._is_ready = is_ready
        self._last_sign = last_sign
        self._excuse = excuse
        self._deaths = patience.Deaths()
        self._starts = 0
        self._ending: str | None = None
        self._unwanted = ""
        self._stopping = False
        self._grace_seconds = processes.GRACE_SECONDS
        self._thread = threading.Thread(target=self._keep, name=place.name, daemon=True)

    def start(self) -> None:
        """Begin to keep the child alive."""
        self._thread.start()

    def stop(self, grace_seconds: float = processes.GRACE_SECONDS) -> None:
        """End the child for good, with SIGKILL after `grace_seconds`; comes back when it is dead."""
        with self._changed:
            self._grace_seconds = grace_seconds
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(2 * processes.GRACE_SECONDS + processes.RELEASE_SECONDS)

    def renew(self, reason: str) -> None:
        """Have the child ended and started again, for `reason`."""
        with self._changed:
            if self.child is not None:
                self._unwanted = reason
                self._changed.notify_all()

    def revive(self) -> None:
        """Try once more if the child was given up."""
        with self._changed:
            if self.failed:
                self.failed = False
                self._deaths.forgive()
                self._changed.notify_all()

    def announce(self, *, closer: bool = False) -> None:
        """Take the child for ready; `closer` says that it has come closer to what its predecessors died of."""
        with self._changed:
            if closer:
                self._deaths.absolve()
            self.ready = self.child is not None
            self.reason = ""
            self._changed.notify_all()

    def is_noted(self) -> bool:
        """Whether a living child is known."""
        return self.child is not None

    def status(self) -> dict[str, Any]:
        """The child's pid, start and number of restarts, as JSON."""
        with self._changed:
            return {
                "pid": self.child.pid if self.child else None,
                "started_at": self.child.started_at if self.child else None,
                "restarts": max(self._starts - 1, 0),
            }

    def _keep(self) -> None:
        while not self._stopping:
            try:
                delay = self._live()
            except (OSError, Failure) as error:
                delay = self._died(0.0, f"it could not be started: {error}", forever=isinstance(error, Failure))
            self._pause(delay)

    def _live(self) -> float | None:
        """One life of the child, from start to death; the pause before the next."""
        log_size = _size(self._place.log)
        child = self._begin()
        if child is None:
            return 0.0
        born = time.monotonic()
        child.watch(lambda ending: self._ended(child, ending))
        was_ready = self._wait_until_ready()
        with self._changed:
            hung_seconds = self._wait_until_over()
            asked = self._stopping or bool(self._unwanted)
            processes.note(f"{self._place.name} {child.pid} is ended: {self._unwanted or 'stop'}" if asked else "")
        if self._ending is None:
            child.end(0.0 if hung_seconds else self._grace_seconds)
        with self._changed:
            self._changed.wait_for(lambda: self._ending is not None, processes.RELEASE_SECONDS)
            reason = self._unwanted or f"{self._ending}{_because(processes.last_line(self._place.log, log_size))}"
            self.child, self.ready, self._unwanted = None, False, ""
            self._changed.notify_all()
        if self._stopping or (asked and was_ready and not hung_seconds):
            return 0.0
        return self._died(time.monotonic() - born - hung_seconds if was_ready else 0.0, reason)

    def _begin(self) -> processes.Child | None:
        child = processes.Child.found(self._place)
        adopted = child is not None
        if child is None:
            command = self._command()
            if command is None:
                return None
            processes.rotate(self._place.log)
            child = processes.Child.spawn(self._place, command)
        with self._changed:
            self.child, self._ending = child, None
            self._starts += 1
            self._changed.notify_all()
        processes.note(f"{self._place.name} {child.pid} {'found alive' if adopted else 'started'}")
        return child

    def _wait_until_ready(self) -> bool:
        pause = LOOK_SECONDS if self._is_ready else TICK_SECONDS
        waited, excuse = patience.Stopwatch(), None
        while not (self.ready or self._over()):
            if self._excuse is not None and (latest := self._excuse()) is not excuse:
                excuse = latest
                waited.restart()
            if self._is_ready is not None and self._is_ready():
                self.announce()
            with self._changed:
                settled = self._changed.wait_for(lambda: self.ready or self._over(), pause)
                if waited.seconds() >= self._ready_seconds and not settled:
                    self._unwanted = f"it was not ready within {self._ready_seconds:g} s"
        return self.ready

    def _wait_until_over(self) -> float:
        """Wait until the child is dead or to be ended; for how long it has hung if that is why, else 0."""
        if self._last_sign is None:
            self._changed.wait_for(self._over)
            return 0.0
        mark, silent = self._last_sign().mark, patience.Stopwatch()
        while not self._changed.wait_for(self._over, TICK_SECONDS):
            sign = self._last_sign()
            if sign.mark is not mark:
                mark = sign.mark
                silent.restart()
            elif (seconds := silent.seconds()) >= sign.enough_seconds:
                self._unwanted = f"it hangs: {sign.lack} for {sign.enough_seconds:g} s"
                return seconds
        return 0.0

    def _over(self) -> bool:
        return self._ending is not None or self._stopping or bool(self._unwanted)

    def _ended(self, child: processes.Child, ending: str) -> None:
        with self._changed:
            if self.child is child:
                self._ending = ending
                self._changed.notify_all()

    def _died(self, lived_seconds: float, reason: str, *, forever: bool = False) -> float | None:
        delay = None if forever else self._deaths.delay(lived_seconds)
        room = " (the disk is full)" if paths.free_bytes(self._place.folder) < FULL_DISK_BYTES else ""
        with self._changed:
            times = "" if forever else f" {patience.EARLY_DEATHS} times in a row" if delay is None else ""
            self.reason = f"the {self._place.name} failed{times}: {reason}{room}"
            self.failed = delay is None
            self._changed.notify_all()
        processes.note(self.reason)
        return delay

    def _pause(self, delay: float | None) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or (delay is None and not self.failed), delay)


def _because(line: str) -> str:
    return f": {line}" if line else ""


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.exists(path) else 0
