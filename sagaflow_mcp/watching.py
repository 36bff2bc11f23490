"""The runs that somebody watches: the open ones, however they come and go, and those that ended last."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import artifacts, markers, runs
from sagaflow_mcp.history import History

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.runs import Run

ENDED = 50
"""How many runs that have ended are looked at; a screen shows fewer."""

LISTED_SECONDS = 10.0
"""How often ended runs are listed anew although none is known to have ended: with many runs that takes a moment."""


class Watcher:
    """Looks at the runs `run_ids` of `home`, or where there are none at the open ones and those that ended last."""

    def __init__(self, home: Home, run_ids: Sequence[str] = ()) -> None:
        self._home = home
        self._wanted = list(dict.fromkeys(run_ids))
        self._transcripts: dict[str, Transcript] = {}
        self._open: set[str] = set()
        self._ended: list[Run] = []
        self._listed_at = float("-inf")

    @property
    def is_named(self) -> bool:
        """Whether runs were named."""
        return bool(self._wanted)

    def look(self) -> list[Run]:
        """The runs as they are now, open ones first, each kind newest first.

        Raises:
            Refusal: one that was named is not there.
        """
        if self._wanted:
            found = [self._with_progress(runs.get(self._home, run_id, with_progress=False)) for run_id in self._wanted]
        else:
            opened = runs.listing(self._home, runs.STILL_OPEN, limit=len(markers.run_ids(self._home)) + 1)
            found = [*map(self._with_progress, opened), *self._newest_ended({run.run_id for run in opened})]
            # Whoever watches for weeks need not keep the history of all that has ended.
            self._transcripts = {run.run_id: self._transcripts[run.run_id] for run in opened}
        return sorted(found, key=lambda run: (run.is_open, run.created_at), reverse=True)

    def _newest_ended(self, opened: set[str]) -> list[Run]:
        now = time.monotonic()
        if self._open - opened or now - self._listed_at > LISTED_SECONDS:
            self._listed_at = now
            # Among those launched last may be as many that are open.
            found = runs.listing(self._home, limit=ENDED + len(opened))
            self._ended = [run for run in found if not run.is_open][:ENDED]
        self._open = opened
        return [run for run in self._ended if run.run_id not in opened]

    def _with_progress(self, run: Run) -> Run:
        if not run.is_open:
            return run
        transcript = self._transcripts.setdefault(run.run_id, Transcript(Path(run.run_dir)))
        return replace(run, progress=runs.told(runs.summed_up(transcript.read()), Path(run.run_dir)))


class Transcript:
    """A transcript that is read on from where it was read to: those of long runs have megabytes."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / artifacts.TRANSCRIPT
        self._history = History()
        self._read_to = 0

    def read(self) -> History:
        """The history so far; an empty one where there is no transcript."""
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._read_to:  # Another file has taken its place.
                    self._history, self._read_to = History(), 0
                file.seek(self._read_to)
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # It is being written just now.
                    self._read_to += len(line)
                    self._add(line)
        except OSError:
            pass
        return self._history

    def _add(self, line: bytes) -> None:
        try:
            event = json.loads(line.decode("utf-8", "replace"))
        except ValueError:
            return
        if isinstance(event, dict):
            self._history.add(event)
