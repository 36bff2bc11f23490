"""The scale of a timeline: times in which nothing was done take little room on it, however long they were."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_SHARE = 0.5
"""A gap that would take a larger share than this of the time in which something was done is shortened,"""

SHORTENED_SHARE = 0.08
"""to this share of it."""


class Gap(NamedTuple):
    """A shortened time, in seconds since the epoch."""

    began: float
    ended: float


class TimeScale:
    """Places moments between 0 and 100.

    Args:
        spans: the times in which something was done, each a beginning and an end in seconds since the epoch.
        began: the first moment on the scale.
        ended: the last one.
    """

    def __init__(self, spans: Iterable[tuple[float, float]], began: float, ended: float) -> None:
        self.began, self.ended = began, max(ended, began + 0.001)
        busy = merged([(max(first, self.began), min(last, self.ended)) for first, last in spans])
        edges = [self.began, *(edge for span in busy for edge in span), self.ended]
        idle = [Gap(*pair) for pair in zip(edges[::2], edges[1::2], strict=True)]
        worked = sum(last - first for first, last in busy) or (self.ended - self.began)
        self.gaps = [gap for gap in idle if busy and gap.ended - gap.began > LONGEST_SHARE * worked]
        """The times that are shortened."""
        self._short = SHORTENED_SHARE * worked
        self._starts = [gap.began for gap in self.gaps]
        self._width = self._far(self.ended)

    def place(self, moment: float) -> float:
        """Where `moment` is, from 0 to 100."""
        return round(100 * self._far(min(max(moment, self.began), self.ended)) / self._width, 3)

    def moment(self, place: float) -> float:
        """What is at `place`, which is between 0 and 100."""
        low, high = self.began, self.ended
        for _ in range(60):  # The scale only ever rises, so that halving finds it.
            middle = (low + high) / 2
            low, high = (middle, high) if self.place(middle) < place else (low, middle)
        return high

    def _far(self, moment: float) -> float:
        """How far `moment` is from the beginning, with gaps shortened."""
        count = bisect_right(self._starts, moment)
        saved = sum(gap.ended - gap.began - self._short for gap in self.gaps[: max(0, count - 1)])
        if count:
            last = self.gaps[count - 1]
            passed = (min(moment, last.ended) - last.began) / (last.ended - last.began)
            saved += passed * (last.ended - last.began - self._short)
        return moment - self.began - saved


def merged(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """`spans` in order, those that meet made one; one that ends before it begins is left out."""
    found: list[tuple[float, float]] = []
    for first, last in sorted(spans):
        if last < first:
            continue
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found
