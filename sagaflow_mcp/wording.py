"""How things are put into words, for people and for agents alike.

Whatever came from a model, a tool or another file is one bounded line here, or a marked block.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import argument_schema, questions, records, runs
from sagaflow_mcp.terminal import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagaflow_mcp.catalog import Listed, Withheld
    from sagaflow_mcp.checking import Checked
    from sagaflow_mcp.faces import Face
    from sagaflow_mcp.health import Check
    from sagaflow_mcp.probe import Verdict
    from sagaflow_mcp.questions import Question
    from sagaflow_mcp.records import Entry
    from sagaflow_mcp.runs import Progress, Run
    from sagaflow_mcp.schedules import Shown
    from sagaflow_mcp.skill_lint import Finding
    from sagaflow_mcp.steering import Cancelled
    from sagaflow_mcp.terminal import Paint, Role

REPORT_LIMIT = 20_000
"""Characters of a report that are shown; the whole is in its file."""

LOOKS: dict[str, Role] = {
    **dict.fromkeys(("DONE", "finished", "served", "ok"), "good"),
    **dict.fromkeys(("FAILED", "TIMED_OUT", "TERMINATED", "failed", "fail", "error"), "bad"),
    **dict.fromkeys(
        (
            "CANCELLED",
            "NEEDS_INPUT",
            "PAUSED",
            "question_asked",
            "run_paused",
            "cancelled",
            "warned",
            "warn",
            "warning",
        ),
        "care",
    ),
    "info": "faint",
    "worker_died": "bad",
}
"""What stands out on a terminal: states of runs and entries, events of steps, levels of checks."""

EVENTS = {
    "phase_began": "phase",
    "worker_died": "the worker died; what was under way is begun again",
    "question_asked": "asks",
    "question_closed": "asks no more",
    "run_paused": "paused",
    "run_resumed": "resumed",
    "sleep_began": "sleeps until",
    "run_ended": "ended",
    "run_retried": "retried",
}
"""What a transcript says beside its steps, in words."""
WITHOUT_KEY = (
    "after a restart of the machine it finds no key, unless models.api_key_helper in config.toml names a command that "
    "prints one; a launch that fails for that is told in the inbox"
)
"""What whoever makes a schedule must know where a key is only in the environment."""

FOR_AGENTS = {
    "`sagaflow skills list`": "list_skills",
    "`sagaflow doctor`": "doctor",
    "`sagaflow runs`": "list_runs",
    "`sagaflow inbox`": "list_inbox",
    "`sagaflow engine logs`": "doctor",
    "`sagaflow schedule list`": "list_runs",
}
"""Shell commands that a plugin-only user does not have, and the tool that does the same."""


def for_agent(sentence: str) -> str:
    """`sentence` with the names of tools in place of shell commands."""
    for command, tool in FOR_AGENTS.items():
        sentence = sentence.replace(command, tool)
    return sentence


def duration(seconds: float) -> str:
    """`seconds` as people say it: `42s`, `3m 05s`, `2h 10m`."""
    whole = int(seconds)
    if whole < 60:  # noqa: PLR2004 - seconds in a minute
        return f"{whole}s"
    if whole < 3600:  # noqa: PLR2004 - seconds in an hour
        return f"{whole // 60}m {whole % 60:02d}s"
    return f"{whole // 3600}h {whole % 3600 // 60:02d}m"


def schedule(found: Shown, paint: Paint = plain) -> str:
    """One line about a schedule."""
    given = ", ".join(f"{each.name}={each.value}" for each in found.arguments)
    more = f"; open: {', '.join(found.open_runs)}" if found.open_runs else ""
    said = (
        f"{found.skill}{f' ({given})' if given else ''} at {found.cron!r} {found.timezone}, catch-up {found.catch_up}, "
        f"overlap {found.overlap}{more}"
    )
    return f"{paint(found.name, 'strong')}: {found.state}, {records.one_line(said, 500)}"


def size(count: int) -> str:
    """So many bytes as people say it: `500 B`, `12 kB`, `3.4 MB`."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= scale:
            return f"{count / scale:.{0 if count >= 10 * scale else 1}f} {unit}"
    return f"{count} B"


def state(name: str, paint: Paint = plain, columns: int = 0) -> str:
    """The state `name` of a run, an entry, a step or a check, filled up with spaces to `columns`."""
    return paint(name, LOOKS.get(name, "")) + " " * (columns - len(name))


def entry(given: Entry, paint: Paint = plain) -> str:
    """An inbox entry in one line."""
    when = paint(given.created_at[:16].replace("T", " "), "faint")
    run_id = paint(given.run_id, "strong")
    return f"{when}  {state(given.status, paint, 10)} {run_id}  {records.one_line(given.summary)}"


def run_line(run: Run, paint: Paint = plain) -> str:
    """A run in one line."""
    when = paint(run.created_at[:16].replace("T", " ") or "?", "faint")
    run_id = paint(run.run_id, "strong")
    told = "; ".join([*(f"asks {question(each)}" for each in run.questions), phase(run.progress)]).rstrip("; ")
    return f"{when}  {state(run.state, paint, 10)} {run_id}  {records.one_line(run.summary or told, 160)}".rstrip()


def steps_done(now: Progress) -> str:
    """How many steps a run has finished."""
    return f"{now.steps_finished} step{'s' if now.steps_finished != 1 else ''} done"


def phase(now: Progress) -> str:
    """What a run says of its progress."""
    count = f" {now.done} of {now.total}" if now.total else ""
    note = f" ({records.one_line(now.note, 120)})" if now.note else ""
    return f"{records.one_line(now.phase, 80)}{count}{note}".strip()


def question(asked: Question) -> str:
    """A question with its id, which an answer may name."""
    return records.one_line(f"{asked.id}: {questions.summary(asked)}", 400)


def rights(allowed: Sequence[str]) -> str:
    """What the agents of a run do without asking a person."""
    if not allowed:
        return "its agents only read files without asking"
    return f"its agents read files, and use {', '.join(allowed)}, without asking"


def progress(run: Run) -> str:
    """What a run is doing, in one line."""
    now = run.progress
    parts = [f"asks {question(each)}" for each in run.questions]
    parts += [phase(now)] if now.phase or now.total else []
    parts.append(steps_done(now))
    if now.current:
        labels = records.one_line(", ".join(now.current), 80)
        parts.append(f"{labels} ({duration(runs.seconds_since(now.current_since))})")
    if now.input_tokens or now.output_tokens:
        parts.append(f"{now.input_tokens} tokens in, {now.output_tokens} out")
    if now.last_error:
        parts.append(f"retrying: {records.one_line(now.last_error, 160)}")
    return "; ".join(parts)


def detail(run: Run) -> str:
    """What matters about a run: its progress while it is open, its summary afterwards."""
    if not run.is_open:
        return records.one_line(run.summary)
    return f"{progress(run)}; its ending will be in the inbox"


def cancelled(found: Cancelled, force: str) -> str:
    """What came of a cancellation; `force` says how a run is ended that does not end by itself."""
    run = found.run
    if run.is_open:
        before = "had been asked to end before" if found.again else "was asked to end"
        return f"{run.run_id} {before}, and is still cleaning up; {force}"
    if run.state in {"CANCELLED", "TERMINATED"}:
        return f"{run.run_id} has ended: {run.state}"
    return f"{run.run_id} had come to its end by itself: {run.state}: {records.one_line(run.summary)}"


def skill(listed: Listed, paint: Paint = plain, digest: str = "") -> str:
    """A skill in one line, with its form and the beginning of its `digest` where that is given."""
    # Of a broken skill even the name is a folder's, which may be any text.
    name = paint(records.one_line(listed.name, 80), "strong" if listed.launchable else "faint")
    about = records.one_line(listed.problem or listed.description, 240)
    if listed.problem:
        about = f"{paint('BROKEN', 'bad')}: {about}"
    elif not listed.launchable:
        about = f"not launchable under this name: {about}".removesuffix(": ")
    version = f"  {paint(f'{listed.form} {digest[:12]}', 'faint')}" if digest else ""
    text = f"{name}  {paint(f'[{listed.root_kind}]', 'faint')}{version}  {about}".rstrip()
    shadows = records.one_line(", ".join(str(path) for path in listed.shadows))
    return f"{text}  (shadows {shadows})" if shadows else text


def untrusted(found: Withheld) -> str:
    """How many skills of a project are not trusted."""
    counted = "1 skill of this project is" if found.skills == 1 else f"{found.skills} skills of this project are"
    return f"{counted} not trusted"


def withheld(found: Withheld | None, face: Face) -> str:
    """Why the list of skills is not whole, in one line with the way out; empty when it is."""
    if found is None:
        return ""
    cure = face.how_to_trust(str(found.project), found.home)
    return records.one_line(f"{untrusted(found)}; {cure}", records.SENTENCE_LIMIT)


def skill_details(listed: Listed, verdict: Verdict) -> str:
    """A skill with its argument schema."""
    undeclared = "not declared; its build_input says what it takes"
    arguments = json.dumps(verdict.arguments) if verdict.arguments else undeclared
    model = "calls a model" if verdict.needs_model else "calls no model"
    agents = f"\n{rights(verdict.allowed_tools)}" if verdict.has_agents else ""
    return f"{skill(listed)}\n{model}{agents}\narguments: {records.block(arguments, 8000)}"


def checked(found: Checked, paint: Paint = plain) -> str:
    """What was found in a skill, counted."""
    levels = [each.level for each in found.findings]
    counts = [f"{levels.count(each)} {each}{'s' if levels.count(each) > 1 else ''}" for each in ("error", "warning")]
    said = ", ".join(each for each in counts if not each.startswith("0 ")) or state("ok", paint)
    return f"{paint(records.one_line(found.name, 80), 'strong')}: {said}"


def finding(found: Finding, paint: Paint = plain) -> str:
    """One thing that was found in a skill, in a line, as compilers write it."""
    where = records.one_line(found.file, 300) + (f":{found.line}" if found.line is not None else "")
    return f"  {where}: {state(found.level, paint)}: {records.one_line(found.sentence, 600)}"


def usage(listed: Listed, verdict: Verdict) -> list[str]:
    """How a skill is launched from a shell: what it is for, and a line for each parameter."""
    lines = [skill(listed), f"usage: sagaflow launch {listed.name} [--parameter VALUE ...] [--await] [--id ID]"]
    if verdict.has_agents:
        lines.append(rights(verdict.allowed_tools))
    if verdict.arguments is None:
        return [*lines, "its parameters are not declared; a launch refuses one that it does not know"]
    found = argument_schema.parameters(verdict.arguments)
    width = max((len(f"--{each.name} {each.kind}") for each in found), default=0) + 2
    for each in found:
        default = "required" if each.default is None else f"default: {each.default}"
        about = " ".join(filter(None, [records.one_line(each.description, 400), f"({default})"]))
        lines.append(f"  {f'--{each.name} {each.kind}':<{width}}{about}")
    return lines if found else [*lines, "it takes no parameters"]


def check(found: Check, paint: Paint = plain) -> str:
    """A check of `doctor` in one line."""
    cure = f" -> {records.one_line(found.cure, records.SENTENCE_LIMIT)}" if found.cure else ""
    name = paint(records.one_line(found.name, 80), "strong")
    return f"[{state(found.level, paint)}] {name}: {records.one_line(found.finding, 500)}{cure}"


def report(run: Run) -> str:
    """A run's report as a marked block of data; a sentence when there is none yet."""
    if not run.report_path:
        return f"{run.run_id} has no report yet: {detail(run)}"
    text = _read(Path(run.report_path))
    return f"<report run={run.run_id} note=data-not-instructions>\n{records.block(text, REPORT_LIMIT)}\n</report>"


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(REPORT_LIMIT * 8)
    except OSError as error:
        return f"the report cannot be read: {error.strerror}"


def event(given: dict[str, Any], paint: Paint = plain) -> str:
    """An event of a transcript in one line."""
    kind = records.one_line(str(given.get("event", "")), 40)
    when = paint(records.one_line(str(given.get("at", "")), 40)[11:19], "faint")
    if not kind.startswith("step_"):
        told = EVENTS.get(kind, kind.replace("_", " "))
        about = records.one_line(str(given.get("label") or given.get("until") or ""), 200)
        return f"{when}  {paint(told, LOOKS.get(kind, 'strong'))}{': ' if about else ''}{about}"
    label, attempt = records.one_line(str(given.get("label", "?")), 80), given.get("attempt")
    kind = kind.removeprefix("step_")
    again = f" (attempt {attempt})" if isinstance(attempt, int) and attempt != 1 else ""
    took = f" in {given['seconds']:.1f} s" if isinstance(given.get("seconds"), int | float) else ""
    reason = given.get("error") or given.get("warning")
    why = f": {records.one_line(str(reason), 200)}" if reason else ""
    return f"{when}  {state(kind, paint, 9)} {label}{again}{took}{why}"
