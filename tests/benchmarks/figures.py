"""Measured figures: their medians, their bars, and the table that shows them."""

from __future__ import annotations

import statistics
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True)
class Figure:
    """One row of the table."""

    name: str
    values: Sequence[float]
    """In `unit`."""
    unit: str
    baseline: Sequence[float] = ()
    """What it is compared with, in `unit`, measured in turns with it; empty where the value itself counts."""
    bar: float | None = None
    """The most that is allowed, of the ratio where there is a baseline, else of the median; None where nothing is."""
    worst_bar: float | None = None
    """The most that is allowed of the worst value."""
    note: str = ""

    @property
    def median(self) -> float:
        """The figure."""
        return statistics.median(self.values)

    @property
    def measure(self) -> float:
        """What the bar is for."""
        return self.median / statistics.median(self.baseline) if self.baseline else self.median

    @property
    def is_over(self) -> bool:
        """Whether a bar is exceeded."""
        over = self.bar is not None and self.measure > self.bar
        return over or (self.worst_bar is not None and max(self.values) > self.worst_bar)

    def cells(self) -> list[str]:
        """The row's texts."""
        unit = "x" if self.baseline else f" {self.unit}".rstrip()
        bar = "" if self.bar is None else f"{self.bar:,g}{unit}"
        worst = "" if self.worst_bar is None else f" (worst {self.worst_bar:,g}{unit})"
        return [
            self.name,
            _amount(self.median, self.unit),
            f"{_amount(min(self.values))} - {_amount(max(self.values))}" if len(self.values) > 1 else "",
            _amount(statistics.median(self.baseline), self.unit) if self.baseline else "",
            f"{self.measure:.2f}x" if self.baseline else "",
            bar + worst,
            "" if self.bar is None else "over" if self.is_over else "ok",
            self.note,
        ]


HEADINGS = ["figure", "median", "range", "baseline", "ratio", "bar", "", "note"]


def table(figures: Sequence[Figure]) -> str:
    """The figures, one a line below the headings."""
    rows = [HEADINGS, *(figure.cells() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    aligned = ("<", ">", ">", ">", ">", ">", "<", "<")
    lines = [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, aligned, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], "-" * sum(widths), *lines[1:]])


def in_turns(rounds: int, **measured: Callable[[], float]) -> dict[str, list[float]]:
    """The values of each, by name, taken in turns, so that noise meets them all alike; a first turn does not count."""
    found: dict[str, list[float]] = {name: [] for name in measured}
    for number in range(rounds + 1):
        for name, measure in measured.items():
            value = measure()
            if number:
                found[name].append(value)
    return found


def milliseconds(
    command: Sequence[str], environ: Mapping[str, str], stdin: str = "", *, says: bool | None = None
) -> float:
    """How long `command` takes from start to end.

    Args:
        command: the program and its arguments; it must succeed.
        environ: its environment.
        stdin: what it can read.
        says: whether it must say something, or must not; None for either.
    """
    began = time.perf_counter()
    ended = subprocess.run(
        command, env=environ, input=stdin, capture_output=True, encoding="utf-8", timeout=120, check=False
    )
    took = (time.perf_counter() - began) * 1000
    if ended.returncode or says not in {None, bool(ended.stdout)}:
        raise RuntimeError(f"{command} ended with {ended.returncode}: {ended.stdout[:500]}{ended.stderr[-2000:]}")
    return took


def resident(pid: int) -> float:
    """The resident memory of `pid`, in MB of a million bytes."""
    listed = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, encoding="utf-8", check=True
    ).stdout
    return int(listed) * 1024 / 1e6


def _amount(value: float, unit: str = "") -> str:
    digits = 0 if value >= 100 or unit in {"chars", "MB"} else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}".rstrip()
