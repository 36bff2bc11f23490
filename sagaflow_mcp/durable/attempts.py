"""The attempts at one step: which of them count against its retry policy.

An attempt counts when the step itself failed or took too long. It does not when it ended through no fault of the step:
the worker was stopped, killed or asleep, or Temporal was away. Temporal cannot tell these apart, so this file does.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from temporalio.activity import ActivityCancellationDetails

TICK_SECONDS = 0.5
"""The pause between two looks at the clock."""

LONGEST_GAP_SECONDS = 3.0
"""After more than this between two looks the process was asleep or stopped meanwhile."""

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""A clock that goes on while the machine sleeps: Linux has it under the first name, macOS under the second."""


class Attempts:
    """The attempts that Temporal makes at one scheduled activity; each line of a file is a beginning or an end."""

    def __init__(self, run_dir: Path, temporal_run_id: str, activity_id: str) -> None:
        self._path = run_dir / "journal" / f"attempts-{temporal_run_id}-{activity_id}"

    def begin(self, worker: str, awake_since: float) -> int:
        """The number, from 1, of the attempt that a worker begins now.

        Args:
            worker: its identity.
            awake_since: the moment, by `now`, since which it has neither slept nor been stopped.

        Raises:
            OSError: it cannot be written down.
        """
        ended = self._counted(worker, awake_since)
        self._note(f"began {worker} {now():.3f}")
        return ended + 1

    def failed(self) -> None:
        """The latest attempt ended by the step's own fault. OSError if it cannot be written down."""
        self._note("failed")

    def spared(self) -> None:
        """The latest attempt ended by no fault of the step. OSError if it cannot be written down."""
        self._note("spared")

    def is_begun_by(self, worker: str) -> bool:
        """Whether the worker with the identity `worker` has begun the latest attempt and not ended it."""
        return any(_beginning(last)[0] == worker for last in self._lines()[-1:])

    def died(self) -> int:
        """How often a worker has died during the step, this time included. OSError if it cannot be written down."""
        self._note("died")
        return self.deaths()

    def deaths(self) -> int:
        """How often a worker has died during the step."""
        return self._lines().count("died")

    def forget(self) -> None:
        """Remove the file: the step has finished."""
        self._path.unlink(missing_ok=True)

    def _counted(self, worker: str, awake_since: float) -> int:
        """How many attempts have ended that count.

        One without an end was given up by Temporal. If its worker is another one that is gone, it does not count, nor
        if the worker has slept meanwhile: it may come to this one before it has noted the end of that.
        """
        counted, is_open = 0, False
        for line in self._lines():
            if line.startswith("began "):
                counted += is_open
                by, moment = _beginning(line)
                is_open = by == worker and moment >= awake_since
            else:
                counted += line == "failed"
                is_open = False
        return counted + is_open

    def _lines(self) -> list[str]:
        try:
            return self._path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []

    def _note(self, line: str) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def _beginning(line: str) -> tuple[str, float]:
    """Which worker began an attempt and when, by `now`; of any other line nothing."""
    kind, _, rest = line.partition(" ")
    worker, _, moment = rest.partition(" ")
    return (worker, float(moment or 0)) if kind == "began" else ("", 0.0)


class Awake:
    """Knows since when this process has been running without a pause, by looking at the clock all the time."""

    def __init__(self) -> None:
        self._since = self._looked = now()
        threading.Thread(target=self._watch, name="awake", daemon=True).start()

    def since(self) -> float:
        """The moment, by `now`, since which the process was neither asleep nor stopped."""
        self._look()
        return self._since

    def _watch(self) -> None:
        while True:
            time.sleep(TICK_SECONDS)
            self._look()

    def _look(self) -> None:
        moment = now()
        if moment - self._looked > LONGEST_GAP_SECONDS:
            self._since = moment
        self._looked = moment


def now() -> float:
    """Seconds on a clock that goes on while the machine sleeps."""
    return time.clock_gettime(_CLOCK)


def took_too_long(
    details: ActivityCancellationDetails | None, seconds: float, start_to_close: timedelta | None
) -> bool:
    """Whether an attempt that was cancelled after `seconds` had used up the time that its workflow gave it.

    One that Temporal no longer knows although it had time left was lost: the server was away for longer than the
    heartbeat timeout.
    """
    if details is None or details.worker_shutdown:
        return False
    late = start_to_close is not None and seconds >= start_to_close.total_seconds()
    return details.timed_out or (details.not_found and late)
