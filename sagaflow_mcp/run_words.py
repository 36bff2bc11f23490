"""A run told in many lines, to a person in a terminal or to an agent."""

from __future__ import annotations

import shlex
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import artifacts, records, run_details, runs, wording
from sagaflow_mcp.faces import CLI, MCP
from sagaflow_mcp.history import seconds_between
from sagaflow_mcp.terminal import plain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from sagaflow_mcp.faces import Face
    from sagaflow_mcp.questions import Question
    from sagaflow_mcp.run_details import Artifact, RunDetails, StepTotals
    from sagaflow_mcp.runs import Progress, Run
    from sagaflow_mcp.terminal import Paint

MOST_RUNNING = 10
"""How many steps in flight are told one by one."""

MOST_ARTIFACTS = 20

MOST_TOTALS = 30
"""How many kinds of steps are told."""


def sheet(found: RunDetails, lines: int, face: Face = CLI, paint: Paint = plain) -> Iterator[str]:
    """Everything about a run but its report, the last `lines` lines of its transcript and log included."""
    run = found.run
    yield f"{paint(run.run_id, 'strong')}: {wording.state(run.state, paint)} {_since(found)}".rstrip()
    yield f"skill    {records.one_line(run.skill, 80)}"
    yield f"launched {run.created_at}" + (f" in {records.one_line(run.project_dir, 500)}" if run.project_dir else "")
    yield from _now(run, face) if run.is_open else _ended(run, face)
    yield f"folder   {run.run_dir}"
    yield from _files(found.artifacts)
    yield from _totals(found, paint)
    yield from _ends(found, lines, face, paint)


def _since(found: RunDetails) -> str:
    run = found.run
    if not run.is_open:
        took = seconds_between(run.created_at, run.closed_at)
        return f"at {run.closed_at}, after {wording.duration(took)}" if run.closed_at else ""
    pauses = [wait for wait in found.history.waits if wait.kind == "pause" and not wait.ended]
    since = pauses[-1].began if run.state == "PAUSED" and pauses else found.history.taken_up or run.created_at
    return f"for {wording.duration(runs.seconds_since(since))}"


def _ended(run: Run, face: Face) -> Iterator[str]:
    yield f"ended    {records.one_line(run.summary)}"
    if run.is_damaged:
        yield "next     its files are damaged; launch the skill again"
    elif run.state != "DONE":
        yield f"next     {face.retry_run.format(run_id=run.run_id)}"


def _now(run: Run, face: Face) -> Iterator[str]:
    """What an open run is at: how far, its steps in flight, and what it asks with the way to answer."""
    now = run.progress
    if run.state == "PAUSED":
        yield f"next     {face.resume_run.format(run_id=run.run_id)}"
    yield f"now      {'; '.join(_figures(now))}; its ending will be in the inbox"
    if now.phase:
        yield f"phase    {wording.phase(now)}, for {wording.duration(runs.seconds_since(now.phase_since))}"
    for step in now.running[:MOST_RUNNING]:
        again = f", attempt {step.attempt}" if step.attempt > 1 else ""
        lasts = wording.duration(runs.seconds_since(step.since))
        yield f"step     {records.one_line(step.label, 80)} for {lasts}{again}"
    if len(now.running) > MOST_RUNNING:
        yield f"         … and {len(now.running) - MOST_RUNNING} more"
    for asked in run.questions:
        yield f"asks     {wording.question(asked)}"
        yield f"answer   {answer(run, asked, face)}"


def _figures(now: Progress) -> Iterator[str]:
    yield wording.steps_done(now)
    if now.input_tokens or now.output_tokens:
        yield f"{now.input_tokens:,} tokens in, {now.output_tokens:,} out"
    if now.cost_usd:
        yield money(now.cost_usd)
    if now.last_error:
        yield f"retrying: {records.one_line(now.last_error, 160)}"


def line(run: Run) -> str:
    """A run in one line that changes only when something has happened."""
    if not run.is_open:
        return f"{run.run_id}: {run.state}: {records.one_line(run.summary)}".rstrip(": ")
    now = run.progress
    parts = [f"asks {wording.question(each)}" for each in run.questions]
    parts += [wording.phase(now)] if now.phase or now.total else []
    parts.append(wording.steps_done(now))
    labels = list(dict.fromkeys(now.current))
    parts += [records.one_line(", ".join(labels), 80)] if labels else []
    parts += [f"trying again: {records.one_line(now.last_error, 160)}"] if now.last_error else []
    return f"{run.run_id}: {run.state}: {'; '.join(parts)}"


def answer(run: Run, asked: Question, face: Face = CLI) -> str:
    """What answers a question."""
    several = len(run.questions) > 1
    if face is MCP:
        which = f", question {asked.id}" if several else ""
        if asked.asks_permission:
            return f"control_run with action permission{which}: the user is asked"
        return f"control_run with action answer{which} and the user's answer"
    which = f" --question {asked.id}" if several else ""
    if asked.asks_permission:
        return f"sagaflow answer {run.run_id}{which}"
    example = " | ".join(shlex.quote(records.one_line(each, 40)) for each in asked.options) or "ANSWER"
    return f"sagaflow answer {run.run_id} {example}{which}"


def _files(found: tuple[Artifact, ...]) -> Iterator[str]:
    for number, each in enumerate(found[:MOST_ARTIFACTS]):
        yield f"{'files' if not number else '':<8} {records.one_line(each.name, 200)}  {wording.size(each.bytes)}"
    if len(found) > MOST_ARTIFACTS:
        yield f"         … and {len(found) - MOST_ARTIFACTS} more"


def money(cost: float) -> str:
    """An amount of US dollars; empty when there is none."""
    return f"${cost:.4f}" if 0 < cost < 1 else f"${cost:.2f}" if cost else ""


def _totals(found: RunDetails, paint: Paint) -> Iterator[str]:
    totals = found.totals
    if not totals:
        return
    yield paint("steps", "strong")
    width = max(len(records.one_line(each.label, 40)) for each in totals[:MOST_TOTALS])
    for each in totals[:MOST_TOTALS]:
        yield f"  {records.one_line(each.label, 40):<{width}}  {counts(each)}"
    if len(totals) > MOST_TOTALS:
        yield f"  … and {len(totals) - MOST_TOTALS} more kinds of steps"


def counts(total: StepTotals) -> str:
    """What the steps of one name come to, in words."""
    parts = [f"{total.done} of {total.steps} done"]
    parts += [f"{total.running} under way"] if total.running else []
    parts += [f"{total.retries} failed attempt{'s' if total.retries > 1 else ''}"] if total.retries else []
    parts += [f"{total.losses} lost in a crash"] if total.losses else []
    parts += [f"{total.seconds:.1f} s"]
    if total.input_tokens or total.output_tokens:
        parts.append(f"{total.input_tokens:,} tokens in, {total.output_tokens:,} out")
    parts += [money(total.cost_usd)] if total.cost_usd else []
    return ", ".join(parts)


def _ends(found: RunDetails, lines: int, face: Face, paint: Paint) -> Iterator[str]:
    """The last lines of the transcript and of the log."""
    last: deque[dict[str, Any]] = deque(maxlen=lines)
    count = 0
    for count, event in enumerate(artifacts.events(Path(found.run.run_dir)), 1):  # noqa: B007 - looked at afterwards
        last.append(event)
    if last:
        yield paint(f"transcript, the last {len(last)} of {count} lines", "strong")
        yield from (f"  {wording.event(each, paint)}" for each in last)
    logged = run_details.last_lines(found.log_path, lines) if lines else []
    if face is MCP:
        # Of a traceback an agent sees what the run's report shows: the skill's own files.
        logged = [line for line in logged if not line.startswith(" ")]
    if logged:
        yield paint(f"log, the last {len(logged)} lines", "strong")
        yield from (f"  {_indented(line)}" for line in logged)


def _indented(line: str) -> str:
    return " " * (len(line) - len(line.lstrip(" "))) + records.one_line(line, 500)
