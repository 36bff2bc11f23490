"""How far a run has come as numbers that only rise, as MCP wants them, although each phase counts anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sagaflow_mcp.runs import Progress

LITTLE = 0.001
"""What is new without a number of its own counts for so much: each number must be higher than the last."""


class Numbers(NamedTuple):
    """What is told of a run's progress."""

    progress: float
    total: float | None
    """None where the run says nothing of it."""


class ProgressNumbers:
    """Those of one run, which remember what they were."""

    def __init__(self) -> None:
        self._phase = ("", "")
        self._before = 0.0
        """What the phases before this one came to."""
        self._total = 0
        self._last = -LITTLE

    def of(self, now: Progress) -> Numbers:
        """The numbers of the progress `now`."""
        if (now.phase, now.phase_since) != self._phase:
            self._before += self._total
            self._phase, self._total = (now.phase, now.phase_since), 0
        self._total = max(self._total, now.total)
        # A phase may say its total later, and then begins at 0: its steps must not have counted for more until then.
        by_steps = now.steps_finished * LITTLE if now.phase or self._before else now.steps_finished
        counted = self._before + (now.done if now.total else by_steps)
        self._last = max(counted, self._last + LITTLE)
        return Numbers(round(self._last, 3), max(self._before + self._total, self._last) if now.total else None)
