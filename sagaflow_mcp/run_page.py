"""A run as one page of HTML that needs nothing else: no script, no request."""

from __future__ import annotations

import html
import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import __version__, records, run_details, run_timeline, run_words, wording
from sagaflow_mcp.history import LOST, seconds_between

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sagaflow_mcp.history import History
    from sagaflow_mcp.run_details import RunDetails, StepTotals

TEXT_LIMIT = 200_000
"""Characters of a report on the page; the whole is in its file."""

ARGUMENTS_LIMIT = 10_000

LOG_LINES = 100

MOST_ROWS = 200
"""How many rows a table has at most."""

STYLE = Path(__file__).with_name("run_page.css")
"""The looks of the page, which go into it."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Whatever a run's texts may hold, a browser loads and runs nothing for this page."""


def page(found: RunDetails) -> str:
    """The whole page."""
    run = found.run
    body = [
        _head(found),
        run_timeline.timeline(found),
        _table("Retries, crashes and waits", ("when", "what"), _trouble(found.history)),
        _report(found),
        _steps(found.totals),
        _table("Files", ("name", "size"), [(each.name, wording.size(each.bytes)) for each in found.artifacts]),
        _text("Log", "\n".join(run_details.last_lines(found.log_path, LOG_LINES))),
        _foot(found),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en" xmlns="http://www.w3.org/1999/xhtml">\n<head>\n<meta charset="utf-8" />\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escaped(POLICY)}" />\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1" />\n'
        '<meta name="referrer" content="no-referrer" />\n'
        f"<title>{escaped(run.run_id)}</title>\n<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main>\n</body>\n</html>"
    )


def escaped(text: str, limit: int = 300) -> str:
    """`text` as one line of a page, in an attribute too."""
    return html.escape(records.one_line(text, limit))


def _head(found: RunDetails) -> str:
    run, history = found.run, found.history
    state = run.state if run.state.isidentifier() else "unknown"
    took = wording.duration(seconds_between(run.created_at, run.closed_at))
    about = {
        "skill": run.skill,
        "launched": f"{_moment(run.created_at)}" + (f" in {run.project_dir}" if run.project_dir else ""),
        "ended": f"{_moment(run.closed_at)}, after {took}" if run.closed_at else "",
        "now": f"open for {took} when this page was written" if run.is_open else "",
        "phase": wording.phase(run.progress) if run.is_open else "",
        "folder": run.run_dir,
    }
    asked = {f"asks ({each.id})": each.question for each in run.questions}
    rows = "".join(
        f"<dt>{escaped(name)}</dt><dd>{escaped(text, 1000)}</dd>" for name, text in {**about, **asked}.items() if text
    )
    summary = f'<p class="summary">{escaped(run.summary)}</p>' if run.summary else ""
    given = json.dumps(found.about.get("arguments", {}), indent=1, ensure_ascii=False)
    arguments = html.escape(records.for_terminal(given[:ARGUMENTS_LIMIT]))
    return (
        f'<header><h1>{escaped(run.run_id)}</h1><span class="state {state}">{escaped(run.state)}</span></header>\n'
        f"{summary}<dl>{rows}</dl>\n"
        f'<details class="plain"><summary>arguments</summary><pre>{arguments}</pre></details>\n'
        f'<ul class="tiles">{_tiles(found, history)}</ul>'
    )


def _tiles(found: RunDetails, history: History) -> str:
    steps = list(history.steps.values())
    retries, losses = sum(step.retries for step in steps), sum(step.losses for step in steps)
    died = len(history.crashes)
    waited = sum(seconds_between(wait.began, wait.ended) for wait in history.waits)
    now = found.run.progress
    tiles = [
        (f"{now.steps_finished} of {len(steps)}", "steps done"),
        (str(retries), "failed attempt" if retries == 1 else "failed attempts"),
        (str(died), f"{'crash' if died == 1 else 'crashes'}, {losses} attempt{'' if losses == 1 else 's'} lost"),
        (wording.duration(waited), "waited"),
        (f"{now.input_tokens:,}", "tokens in"),
        (f"{now.output_tokens:,}", "tokens out"),
        (run_words.money(now.cost_usd), "cost"),
    ]
    return "".join(f"<li><b>{escaped(figure)}</b><span>{escaped(name)}</span></li>" for figure, name in tiles if figure)


def _trouble(history: History) -> list[tuple[str, str]]:
    """What a reader looks for first: failures, crashes, waits, warnings, in order; what came often is one row."""
    found = [(each.at, run_timeline.crash(each)) for each in history.crashes]
    for wait in history.waits:
        lasted = wording.duration(seconds_between(wait.began, wait.ended))
        still = "" if wait.ended else ", still"
        found.append((wait.began, f"{run_timeline.WAITS[wait.kind]} for {lasted}{still}: {wait.label}".rstrip(": ")))
    often: dict[str, list[str]] = {}
    for at, told in _mishaps(history):
        often.setdefault(told, []).append(at)
    found += [(min(ats), f"{told} ({len(ats):,} times)" if len(ats) > 1 else told) for told, ats in often.items()]
    shown = [(_moment(at), told) for at, told in sorted(found)]
    is_one_day = len({at[:10] for at, _ in shown}) == 1
    return [(at[11:] if is_one_day else at[5:], told) for at, told in shown]


def _mishaps(history: History) -> Iterator[tuple[str, str]]:
    """When what has gone wrong with a step, or was warned of."""
    for step in history.steps.values():
        for each in step.attempts:
            if each.outcome == "failed":
                yield each.ended, f"{step.label}, attempt {each.number} failed: {each.error}"
            elif each.outcome == LOST and not history.crashes:
                yield each.ended, f"{step.label}, attempt {each.number} was lost"
        for warning in step.warnings:
            yield step.attempts[-1].ended if step.attempts else "", f"{step.label}: {warning}"


def _report(found: RunDetails) -> str:
    if not found.run.report_path:
        return ""
    try:
        with Path(found.run.report_path).open(encoding="utf-8", errors="replace") as file:
            text = file.read(TEXT_LIMIT + 1)
    except OSError as error:
        text = f"the report cannot be read: {error.strerror}"
    cut = f"\n\n… the rest is in {found.run.report_path}" if len(text) > TEXT_LIMIT else ""
    return _text("Report", text[:TEXT_LIMIT] + cut)


def _text(heading: str, text: str) -> str:
    if not text.strip():
        return ""
    return f'<h2>{heading}</h2>\n<div class="card"><pre>{html.escape(records.for_terminal(text))}</pre></div>'


def _steps(totals: Sequence[StepTotals]) -> str:
    if not totals:
        return ""
    names = ("step", "done", "failed attempts", "lost", "time", "tokens in", "tokens out", "cost")
    head = f"<th>{names[0]}</th>" + "".join(f'<th class="n">{name}</th>' for name in names[1:])
    rows = "".join(f"<tr>{_cells(each.label, [each])}</tr>" for each in totals[:MOST_ROWS])
    left = f'<tr><td colspan="8">… and {len(totals) - MOST_ROWS} more</td></tr>' if len(totals) > MOST_ROWS else ""
    return (
        '<h2>Tokens and time by step</h2>\n<div class="card"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}{left}</tbody>"
        f"<tfoot><tr>{_cells('all', totals)}</tr></tfoot></table></div>"
    )


def _cells(name: str, totals: Sequence[StepTotals]) -> str:
    figures = (
        f"{sum(each.done for each in totals):,} of {sum(each.steps for each in totals):,}",
        f"{sum(each.retries for each in totals):,}",
        f"{sum(each.losses for each in totals):,}",
        wording.duration(sum(each.seconds for each in totals)),
        f"{sum(each.input_tokens for each in totals):,}",
        f"{sum(each.output_tokens for each in totals):,}",
        run_words.money(round(sum(each.cost_usd for each in totals), 6)),
    )
    return f"<td>{escaped(name, 120)}</td>" + "".join(f'<td class="n">{escaped(each)}</td>' for each in figures)


def _table(heading: str, names: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    """A table with two columns; nothing where it has no row."""
    found = list(rows)
    if not found:
        return ""
    first, second = names
    cells = "".join(
        f'<tr><td class="{first}">{escaped(one)}</td><td class="{second}">{escaped(two, 600)}</td></tr>'
        for one, two in found[:MOST_ROWS]
    )
    left = f'<tr><td colspan="2">… and {len(found) - MOST_ROWS} more</td></tr>' if len(found) > MOST_ROWS else ""
    return f'<h2>{heading}</h2>\n<div class="card"><table><tbody>{cells}{left}</tbody></table></div>'


def _foot(found: RunDetails) -> str:
    version = escaped(str(found.about.get("version", "?")), 40)
    return (
        f"<footer>Written by sagaflow {__version__} at {_moment(records.now())}; launched with {version}. "
        "Times are UTC. Names, errors and the report come from the run.</footer>"
    )


def _moment(text: str) -> str:
    """A moment to the second, as it is read best; the text where it is none."""
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, TypeError):
        return records.one_line(str(text), 40)
