"""What `sagaflow watch` shows: runs on a screen of any size, or a line for each change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sagaflow_mcp import questions, records, run_words, runs, wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from sagaflow_mcp.runs import Progress, Run

STYLES = {
    "RUNNING": "blue",
    "ASKS": "yellow",
    "PAUSED": "yellow",
    "DONE": "green",
    "CANCELLED": "yellow",
    **dict.fromkeys(("FAILED", "TIMED_OUT", "TERMINATED"), "red"),
}

PHASE_COLUMNS = 40
"""From this width of the terminal on there is room for the phase,"""

BAR_COLUMNS = 64
"""from this on for bars,"""

TOKEN_COLUMNS = 90
"""and from this on for tokens."""

MOST_STEPS = 3
"""How many kinds of steps in flight are named."""

THOUSAND, MILLION = 1_000, 1_000_000


def screen(found: Sequence[Run], columns: int, rows: int, clock: str) -> Group:
    """The runs, as many as fit: open ones with what they are at, then ended ones in a line each."""
    opened = [run for run in found if run.is_open]
    ended = [run for run in found if not run.is_open]
    parts: list[RenderableType] = [_heading(len(opened), clock, columns)]
    left = rows - 1
    for number, run in enumerate(opened):
        lines: list[RenderableType] = [_main(run, columns), *_below(run, columns)]
        others = len(opened) - number
        if len(lines) > left - (1 if others > 1 else 0):
            parts.append(_cut(f"  … and {others} more open", columns, "dim"))
            left = 0
            break
        parts += lines
        left -= len(lines)
    parts += [_ended(run, columns) for run in ended[: max(0, left)]]
    if not found:
        parts.append(_cut("  no runs", columns, "dim"))
    return Group(*parts)


def _heading(opened: int, clock: str, columns: int) -> Text:
    name = f"sagaflow  {opened} open run{'' if opened == 1 else 's'}"
    end = f"{clock}  q: end"
    return Text(f"{name}{end:>{max(2, columns - len(name))}}", style="bold", no_wrap=True, overflow="ellipsis")


def _main(run: Run, columns: int) -> Table:
    """An open run: its id, phase, bar, how long, tokens."""
    now = run.progress
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=9, no_wrap=True)
    table.add_column(ratio=3, no_wrap=True, overflow="ellipsis")
    cells: list[RenderableType] = [
        Text(_state(run), style=f"bold {STYLES.get(_state(run), '')}".strip()),
        Text(run.run_id, style="bold"),
    ]
    if columns < PHASE_COLUMNS:
        table.add_row(*cells)
        return table
    table.add_column(ratio=2, no_wrap=True, overflow="ellipsis")
    count = f"{now.done}/{now.total} " if now.total and columns < BAR_COLUMNS else ""
    cells.append(Text(count + (records.one_line(now.phase, 60) or wording.steps_done(now)), style="cyan"))
    if columns >= BAR_COLUMNS:
        table.add_column(width=max(10, columns // 5))
        table.add_column(width=9, no_wrap=True, justify="right")
        cells.append(_bar(now) if now.total else Text(""))
        cells.append(Text(f"{now.done}/{now.total}" if now.total else wording.steps_done(now).removesuffix(" done")))
    table.add_column(width=7, no_wrap=True, justify="right")
    cells.append(Text(wording.duration(runs.seconds_since(run.created_at))))
    if columns >= TOKEN_COLUMNS:
        table.add_column(width=22, no_wrap=True, justify="right")
        cells.append(Text(_tokens(run), style="dim"))
    table.add_row(*cells)
    return table


def _bar(now: Progress) -> ProgressBar:
    done = min(now.done, now.total)
    return ProgressBar(total=now.total, completed=done, complete_style="blue", finished_style="green")


def _state(run: Run) -> str:
    return "ASKS" if run.questions and run.state == "RUNNING" else run.state


def _tokens(run: Run) -> str:
    now = run.progress
    if not now.input_tokens and not now.output_tokens:
        return ""
    cost = f" {run_words.money(now.cost_usd)}" if now.cost_usd else ""
    return f"{_short(now.input_tokens)} in {_short(now.output_tokens)} out{cost}"


def _short(count: int) -> str:
    """A number in at most six characters."""
    if count < 10 * THOUSAND:
        return str(count)
    return f"{count / THOUSAND:.0f}k" if count < MILLION else f"{count / MILLION:.1f}M"


def _below(run: Run, columns: int) -> list[Text]:
    """What an open run is doing, why it tries again, and what it asks; each a line, where there is something."""
    now = run.progress
    lines = [(_doing(run), "")] if now.running else []
    lines += [(f"trying again: {records.one_line(now.last_error, 300)}", "red")] if now.last_error else []
    for asked in run.questions:
        lines.append((f"asks: {questions.summary(asked)}", "yellow"))
        lines.append((f"      {run_words.answer(run, asked)}", "yellow"))
    return [_cut(f"          {text}", columns, style) for text, style in lines]


def _doing(run: Run) -> str:
    """The steps in flight by name, each with how long the oldest of them has taken."""
    oldest: dict[str, tuple[float, int]] = {}
    for step in run.progress.running:
        lasts, count = oldest.get(step.label, (0.0, 0))
        oldest[step.label] = (max(lasts, runs.seconds_since(step.since)), count + 1)
    told = [
        f"{records.one_line(label, 40)}{f' x{count}' if count > 1 else ''} {wording.duration(lasts)}"
        for label, (lasts, count) in list(oldest.items())[:MOST_STEPS]
    ]
    more = f", and {len(oldest) - MOST_STEPS} more" if len(oldest) > MOST_STEPS else ""
    note = f"  ({records.one_line(run.progress.note, 60)})" if run.progress.note else ""
    return ", ".join(told) + more + note


def _ended(run: Run, columns: int) -> Text:
    ago = wording.duration(runs.seconds_since(run.closed_at or run.created_at))
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{run.state:<9} ", style=STYLES.get(run.state, ""))
    line.append(f"{run.run_id}  ", style="")
    line.append(f"{ago} ago  {records.one_line(run.summary, 300)}", style="dim")
    line.truncate(columns, overflow="ellipsis")
    return line


def _cut(text: str, columns: int, style: str) -> Text:
    line = Text(text, style=style, no_wrap=True, overflow="ellipsis")
    line.truncate(columns, overflow="ellipsis")
    return line
