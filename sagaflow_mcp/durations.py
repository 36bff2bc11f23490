"""Spans of time as people write them: `90s`, `15m`, `1h`, `90d`, `2w`."""

from __future__ import annotations

import re
from datetime import timedelta

from sagaflow_mcp.errors import UsageRefusal

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

LONGEST = timedelta(days=36_500)
"""What a longer span counts as; no run and no date of ours is further away."""

_SPAN = re.compile(r"([0-9]{1,1000})\s*([smhdw])")


def read(text: str) -> timedelta | None:
    """The span that `text` says, in any case, at most `LONGEST`; None where it says none."""
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        return None
    try:
        return min(timedelta(**{UNITS[found[2]]: int(found[1])}), LONGEST)
    except OverflowError:
        return LONGEST


def parse(text: str, what: str, least: timedelta) -> timedelta:
    """The span that `text` says, which is `what`; UsageRefusal when it is none, or under `least`."""
    span = read(text)
    if span is None or span < least:
        raise UsageRefusal(
            f"{what} is {text[:40]!r}, but must be a number with s, m, h, d or w behind it, such as 90d, "
            f"and at least {shown(least)}"
        )
    return span


def shown(span: timedelta) -> str:
    """`span` in the largest unit that it is a whole number of."""
    seconds = int(span.total_seconds())
    for unit in ("w", "d", "h", "m"):
        size = int(timedelta(**{UNITS[unit]: 1}).total_seconds())
        if seconds and seconds % size == 0 and (unit != "w" or seconds > 4 * size):
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
