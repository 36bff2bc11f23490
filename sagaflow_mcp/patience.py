"""How much a child is put up with: its early deaths counted, its silence measured."""

from __future__ import annotations

import time

SHORT_LIFE_SECONDS = 10.0
"""A child that dies or hangs younger than this, or before it was ready, has died early."""

EARLY_DEATHS = 5
"""So many early deaths in a row, which all fit in a minute, are a crash loop."""

FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 0.2, 5.0
"""The pause before the second start after an early death, doubled each time; the first comes at once."""

LONGEST_GAP_SECONDS = 5.0
"""After more than this between two looks the engine itself was asleep or stopped, and its children maybe with it: what
was measured until then says nothing about them."""


class Deaths:
    """The early deaths of one child, counted."""

    def __init__(self) -> None:
        self._early = 0

    def delay(self, lived_seconds: float) -> float | None:
        """How many seconds to wait before the next start, after a life that long; None in a crash loop."""
        self._early = self._early + 1 if lived_seconds < SHORT_LIFE_SECONDS else 0
        if self._early >= EARLY_DEATHS:
            return None
        return min(FIRST_DELAY_SECONDS * 2 ** (self._early - 2), LONGEST_DELAY_SECONDS) if self._early > 1 else 0.0

    def absolve(self) -> None:
        """Count from none again: less is left that the child can die of."""
        self._early = 0

    def forgive(self) -> None:
        """Allow one more life: if that is short too, it is a crash loop again."""
        self._early = EARLY_DEATHS - 1


class Stopwatch:
    """Seconds of which this process was awake throughout; starts anew when it finds that it was not."""

    def __init__(self) -> None:
        self._started = self._looked = time.monotonic()

    def restart(self) -> None:
        """Measure from now."""
        self._started = self._looked = time.monotonic()

    def seconds(self) -> float:
        """How long it is since the start; to be asked more often than every `LONGEST_GAP_SECONDS`."""
        now = time.monotonic()
        if now - self._looked > LONGEST_GAP_SECONDS:
            self._started = now
        self._looked = now
        return now - self._started
