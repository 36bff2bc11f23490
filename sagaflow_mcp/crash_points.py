"""The places at which a worker under test kills itself: they are counted, and at one of them it dies.

A worker heeds this only where its home has the folder, which is made for a throw-away home alone.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sagaflow_mcp import paths

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home

TASK, RAN, KEPT, END = "task", "ran", "kept", "end"
"""In the workflow task that asks for a step; after the step's function; after its result was written down; in the
workflow task that ends the run."""


TASK_TIMEOUT = timedelta(seconds=2)
"""How long a workflow task may take where workers die in them again and again."""


class Point(NamedTuple):
    """A place that a run has passed."""

    kind: str
    label: str
    """What the step is called; empty at the end of the run."""

    def __str__(self) -> str:
        return {
            TASK: f"in the workflow task that asks for step {self.label!r}",
            RAN: f"after step {self.label!r} ran, before its result was written down",
            KEPT: f"after the result of step {self.label!r} was written down, before Temporal was told",
            END: "in the workflow task that ends the run",
        }[self.kind]


class Ask(NamedTuple):
    """A step that workflow code asks for."""

    execution: str
    """The Temporal run id of the workflow."""
    number: int
    """How many steps it asks for before this one, from its beginning on."""
    label: str
    given: str
    """What the step is given, as JSON."""
    is_replay: bool
    """Whether Temporal knows already that the step was asked for."""


class CrashPoints:
    """Those of one home."""

    def __init__(self, home: Home) -> None:
        self._folder = Path(home.root, "crash-points")
        self._plan = self._folder / "plan.json"
        self._turn = threading.Lock()

    @property
    def enabled(self) -> bool:
        """Whether the home is one in which workers are to kill themselves."""
        return self._folder.is_dir()

    @property
    def task_timeout(self) -> timedelta | None:
        """How long Temporal waits for a workflow task in that home; None for its own 10 s.

        So long it waits for a worker that died in one.
        """
        return TASK_TIMEOUT if self.enabled else None

    def begin(self, run_id: str, at: int = 0) -> None:
        """Count from 1 from now on, for `run_id`, and kill the worker at the point `at`; at none when it is 0."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        paths.write_atomically(str(self._plan), json.dumps({"log": f"{run_id}.jsonl", "at": at}))

    def passed(self, run_id: str) -> list[Point]:
        """The points that `run_id` has passed so far, oldest first."""
        try:
            lines = (self._folder / f"{run_id}.jsonl").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [Point(*json.loads(line)) for line in lines]

    def ask(self, ask: Ask) -> None:
        """Note a step that is asked for."""
        with self._turn:
            plan = self._read_plan()
            if plan is not None:
                with (self._folder / f"{plan['log']}.asked").open("a", encoding="utf-8") as log:
                    log.write(json.dumps(ask) + "\n")

    def asked_otherwise(self, run_id: str) -> list[tuple[Ask, Ask]]:
        """The steps of `run_id` that were given something else on a replay: as Temporal knows each, and as it was then.

        Whatever differs from run to run by its nature, such as an id or the time, is the same on a replay.
        """
        try:
            lines = (self._folder / f"{run_id}.jsonl.asked").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        known: dict[tuple[str, int], Ask] = {}
        changed = []
        for ask in (Ask(*json.loads(line)) for line in lines):
            place = (ask.execution, ask.number)
            if not ask.is_replay:
                # Also where a worker died in the middle of a workflow task, of which Temporal knows nothing then.
                known[place] = ask
            elif place in known and known[place].given != ask.given:
                changed.append((known[place], ask))
        return changed

    def reach(self, kind: str, label: str = "") -> None:
        """Pass a point; does not return from the one at which the worker is to die."""
        with self._turn:
            plan = self._read_plan()
            if plan is None:
                return
            # In the file, so that a worker that was started again goes on counting where the last one died.
            with (self._folder / plan["log"]).open("a+", encoding="utf-8") as log:
                log.write(json.dumps([kind, label]) + "\n")
                log.flush()
                log.seek(0)
                count = len(log.readlines())
            if count == plan["at"]:
                os.kill(os.getpid(), signal.SIGKILL)

    def _read_plan(self) -> dict[str, Any] | None:
        """Where to write what is passed, and where to die; None before the first run that is counted."""
        try:
            plan: dict[str, Any] = json.loads(self._plan.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return plan
