"""The timeline on a run's page: a row for each step, with its attempts, and marks of crashes and waits."""

from __future__ import annotations

import html
import time
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

from sagaflow_mcp import records, time_scale, wording
from sagaflow_mcp.history import LOST, RUNNING
from sagaflow_mcp.time_scale import TimeScale

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sagaflow_mcp.history import Attempt, Crash, Step, Wait
    from sagaflow_mcp.run_details import RunDetails

MOST_ROWS = 300
"""With more steps than this, those of one name and phase are one row that can be opened,"""

MOST_INNER_ROWS = 200
"""in which so many of them are shown one by one."""

MOST_PIECES = 500
"""How many pieces of one outcome a row for many steps has at most."""

WAITS = {
    "question": "waited for an answer",
    "pause": "was paused",
    "sleep": "slept",
    "ended": "had ended, and was retried",
}

LEGEND = (
    ("finished", "finished"),
    ("failed", "attempt failed"),
    ("lost", "lost with its worker"),
    ("running", "under way"),
    ("crash", "worker died"),
    ("question", "waits for an answer"),
    ("sleep", "sleeps"),
    ("gap", "nothing was done, shortened"),
)


def timeline(found: RunDetails) -> str:
    """The timeline of a run; a sentence where it has taken no step yet."""
    if not found.history.steps and not found.history.waits:
        return "<h2>Timeline</h2>\n<p>It has taken no step yet.</p>"
    return _Timeline(found).drawn()


class _Timeline:
    def __init__(self, found: RunDetails) -> None:
        self._history = found.history
        self._now = _seconds(found.run.closed_at) if found.run.closed_at else time.time()
        self._steps = list(self._history.steps.values())
        spans = [self._span(each) for step in self._steps for each in step.attempts]
        moments = [_seconds(found.run.created_at), *(edge for span in spans for edge in span)]
        began = min((each for each in moments if each), default=self._now)
        self._scale = TimeScale(spans, began, max([self._now, *moments]))
        self._is_grouped = len(self._steps) > MOST_ROWS

    def drawn(self) -> str:
        rows = [self._axis(), *self._marks()]
        for phase, steps in groupby(self._steps, key=lambda step: step.phase):
            given = list(steps)
            rows += [self._phase(phase, given), *(self._grouped(given) if self._is_grouped else map(self._row, given))]
        legend = "".join(f'<span class="{kind}">{text}</span>' for kind, text in LEGEND)
        return (
            f'<h2>Timeline</h2>\n<div class="card"><div class="lines">{self._over()}\n'
            + "\n".join(row for row in rows if row)
            + f'\n</div></div>\n<div class="legend">{legend}</div>'
        )

    def _axis(self) -> str:
        """Times from the beginning, where they are on the scale."""
        places = [(0, "first"), (25, ""), (50, ""), (75, ""), (100, "last")]
        ticks = "".join(
            f'<span class="{kind}" style="left:{place}%">'
            f"+{wording.duration(self._scale.moment(place) - self._scale.began) if place else '0s'}</span>"
            for place, kind in places
        )
        return f'<div class="row axis"><div class="name"></div><div class="track">{ticks}</div></div>'

    def _marks(self) -> Iterator[str]:
        """Rows for what is no step: crashes, and what the run waited for."""
        crashes = "".join(
            f'<span class="crashed" style="left:{self._scale.place(_seconds(each.at))}%" '
            f'title="{crash(each)}">&#x2715;</span>'
            for each in self._history.crashes
        )
        yield _row("crashes", crashes) if crashes else ""
        for kind, name in (("question", "questions"), ("pause", "paused"), ("sleep", "sleeps"), ("ended", "ended")):
            waits = [each for each in self._history.waits if each.kind == kind]
            yield _row(name, "".join(map(self._wait, waits))) if waits else ""

    def _wait(self, wait: Wait) -> str:
        ended = min(_seconds(wait.ended) or self._now, self._now)
        about = f"{WAITS[wait.kind]}: {wait.label}" if wait.label else WAITS[wait.kind]
        return self._bar(_seconds(wait.began), ended, wait.kind, about)

    def _over(self) -> str:
        """What goes across all rows: crashes, and shortened times."""
        crashes = [f'<i style="left:{self._scale.place(_seconds(each.at))}%"></i>' for each in self._history.crashes]
        gaps = [
            f'<u style="left:{first}%;width:{self._scale.place(gap.ended) - first:.3f}%"></u>'
            for gap in self._scale.gaps
            for first in (self._scale.place(gap.began),)
        ]
        return f'<div class="over">{"".join(gaps + crashes)}</div>'

    def _phase(self, name: str, steps: Sequence[Step]) -> str:
        if not name:
            return ""
        done = sum(step.is_done for step in steps)
        about = f"{_line(name)} <small>{done} of {len(steps)}</small>"
        return f'<div class="row phase"><div class="name">{about}</div><div class="track"></div></div>'

    def _row(self, step: Step) -> str:
        return _row(_name(step), self._attempts(step))

    def _grouped(self, steps: Sequence[Step]) -> Iterator[str]:
        """A row for the steps of each name, which opens to those steps."""
        by_name: dict[str, list[Step]] = {}
        for step in steps:
            by_name.setdefault(step.label, []).append(step)
        for label, given in by_name.items():
            if len(given) == 1:
                yield self._row(given[0])
                continue
            troubled = sorted(given, key=lambda step: not (step.retries or step.losses))
            inner = "".join(map(self._row, troubled[:MOST_INNER_ROWS]))
            more = len(given) - MOST_INNER_ROWS
            left = _row(f"… and {more:,} more", "") if more > 0 else ""
            name = f"{_line(label)} <small>&#xd7; {len(given):,}</small>"
            yield f"<details><summary>{_row(name, self._density(given), is_html=True)}</summary>{inner}{left}</details>"

    def _density(self, steps: Sequence[Step]) -> str:
        """When any of the steps was under way, by outcome; what is too close to be seen apart is one piece."""
        pieces: dict[str, dict[int, tuple[float, float]]] = {}
        for step in steps:
            for attempt in step.attempts:
                began, ended = map(self._scale.place, self._span(attempt))
                slots, slot = pieces.setdefault(attempt.outcome, {}), int(began * MOST_PIECES / 100)
                first, last = slots.get(slot, (began, ended))
                slots[slot] = (min(began, first), max(ended, last))
        in_order = sorted(pieces.items(), key=lambda item: item[0] != "finished")
        return "".join(
            _placed(began, ended, outcome, "")
            for outcome, slots in in_order
            for began, ended in time_scale.merged(slots.values())
        )

    def _attempts(self, step: Step) -> str:
        if not step.attempts:
            return ""
        first, last = self._span(step.attempts[0])[0], self._span(step.attempts[-1])[1]
        left, right = self._scale.place(first), self._scale.place(last)
        between = f'<span class="between" style="left:{left}%;width:{right - left:.3f}%"></span>'
        bars = (self._bar(*self._span(each), each.outcome, _about(each, self._span(each))) for each in step.attempts)
        return (between if len(step.attempts) > 1 else "") + "".join(bars)

    def _bar(self, began: float, ended: float, kind: str, about: str) -> str:
        return _placed(self._scale.place(began), self._scale.place(ended), kind, about)

    def _span(self, attempt: Attempt) -> tuple[float, float]:
        began = _seconds(attempt.began) or self._now
        return began, max(began, _seconds(attempt.ended) or self._now)


def crash(died: Crash) -> str:
    """The death of a worker, in words."""
    return f"the worker died: {died.steps} attempt{' was' if died.steps == 1 else 's were'} lost"


def _placed(began: float, ended: float, kind: str, about: str) -> str:
    title = f' title="{_line(about)}"' if about else ""
    return f'<span class="bar {kind}" style="left:{began}%;width:{ended - began:.3f}%"{title}></span>'


def _row(name: str, track: str, *, is_html: bool = False) -> str:
    shown = name if is_html else _line(name, 120)
    tip = "" if is_html else f' title="{_line(name)}"'
    return f'<div class="row"><div class="name"{tip}>{shown}</div><div class="track">{track}</div></div>'


def _name(step: Step) -> str:
    marks = [f"{step.retries} retried"] if step.retries else []
    marks += [f"{step.losses} lost"] if step.losses else []
    return f"{step.label} ({', '.join(marks)})" if marks else step.label


def _about(attempt: Attempt, span: tuple[float, float]) -> str:
    told = {RUNNING: "under way", LOST: "lost with its worker"}.get(attempt.outcome, attempt.outcome)
    why = f": {attempt.error}" if attempt.error else ""
    return f"attempt {attempt.number}, {told} after {span[1] - span[0]:.1f} s{why}"


def _line(text: str, limit: int = 300) -> str:
    return html.escape(records.one_line(text, limit))


def _seconds(moment: str) -> float:
    """Seconds since the epoch; 0 where it does not parse."""
    try:
        return datetime.fromisoformat(moment).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0
