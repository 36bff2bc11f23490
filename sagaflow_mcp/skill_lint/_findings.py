"""Something in a skill that its author should change."""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["error", "warning"]


class Finding(NamedTuple):
    """One sentence about one place."""

    file: str
    """The author's own."""
    line: int | None
    """Counted from 1; None where the whole file is meant."""
    level: Level
    """`error` where a run, or its replay, fails; `warning` where it may."""
    sentence: str
    """What is wrong, and the way out."""
