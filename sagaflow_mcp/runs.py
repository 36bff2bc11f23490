"""The runs of a home, as their files tell: what they are, how far they have come, how they ended."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import artifacts, inbox, markers, pauses, questions, records
from sagaflow_mcp.errors import Refusal, UsageRefusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.questions import Question

OPEN = ("RUNNING", "PAUSED")
"""The states of a run that has not ended."""


@dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    steps_finished: int = 0
    current: tuple[str, ...] = ()
    """The labels of the steps in flight."""
    current_since: str = ""
    """When the oldest step in flight began; empty when none is."""
    input_tokens: int = 0
    output_tokens: int = 0
    last_error: str = ""
    """Why the latest attempt failed, while it is being retried."""
    failed_in_a_row: int = 0
    """Which attempt at its step that was."""
    phase: str = ""
    """What the run says that it is at; empty where it says nothing."""
    done: int = 0
    """How much of `total` is done in this phase, as the run says."""
    total: int = 0
    """0 where the run does not say."""
    note: str = ""
    """What else it says."""
    cost_usd: float = 0.0
    """What its model calls have cost in US dollars, as far as the `claude` command was asked, which says so."""


@dataclass(frozen=True)
class Run:
    """One run."""

    run_id: str
    skill: str
    state: str
    """`RUNNING`, `PAUSED`, or the status of its ending."""
    created_at: str
    closed_at: str = ""
    project_dir: str = ""
    summary: str = ""
    run_dir: str = ""
    report_path: str = ""
    result: Any = None
    progress: Progress = field(default_factory=Progress)
    questions: tuple[Question, ...] = ()
    """What it asks a person now, oldest first."""

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.state in OPEN


def get(home: Home, run_id: str) -> Run:
    """The run `run_id` with its progress; Refusal when there is none."""
    run_dir = Path(home.run(run_id))
    run = _read(home, run_dir, with_progress=True) if records.is_run_id(run_id) and run_dir.is_dir() else None
    if run is None:
        raise Refusal(f"there is no run {run_id[:120]!r} in {home.root!r}; `sagaflow runs` shows what there is")
    return run


def parse_state(text: str) -> str:
    """The state of runs that `text` names, in any case; UsageRefusal when there is none."""
    if text.upper() not in {*OPEN, *records.ENDINGS}:
        known = ", ".join([*OPEN, *sorted(records.ENDINGS)])
        raise UsageRefusal(f"status {records.one_line(text, 40)!r} is not one of {known}")
    return text.upper()


def listing(home: Home, *, status: str | None = None, limit: int = 20) -> list[Run]:
    """The runs of `home`, newest first, at most `limit`; only those in the state `status` where one is given."""
    found = []
    for run_dir in _newest_first(home):
        run = _read(home, run_dir, with_progress=False)
        if run is not None and status in (None, run.state):
            found.append(run)
            if len(found) >= limit:
                break
    return found


def _newest_first(home: Home) -> list[Path]:
    def launched(path: Path) -> float:
        try:
            return (path / "run.json").stat().st_mtime
        except OSError:
            return 0.0

    # run.json is written once, at launch: its time is the run's, and no file need be read to sort them.
    return sorted((Path(entry.path) for entry in os.scandir(home.runs)), key=launched, reverse=True)


def _read(home: Home, run_dir: Path, *, with_progress: bool) -> Run | None:
    """The run in `run_dir`; None where a launch was cut off before there was one."""
    about = artifacts.read_json(run_dir / "run.json") or {}
    ending = artifacts.read_json(run_dir / "ending.json")
    is_open = markers.exists(home, run_dir.name)
    if ending is not None and is_open and _goes_on(home, run_dir.name, ending):
        ending = None
    if ending is None and not is_open:
        return None
    report = run_dir / artifacts.REPORT
    return Run(
        run_id=run_dir.name,
        skill=str(about.get("skill", "?")),
        state=str(ending.get("status", "?")) if ending else _open_state(run_dir),
        created_at=str(about.get("created_at", "")),
        closed_at=str(ending.get("closed_at", "")) if ending else "",
        project_dir=str(about.get("project_dir", "")),
        summary=str(ending.get("summary", "")) if ending else "",
        run_dir=str(run_dir),
        report_path=str(report) if report.exists() else "",
        result=ending.get("result") if ending else None,
        progress=_progress(run_dir) if with_progress else Progress(),
        questions=() if ending else tuple(questions.listing(run_dir)),
    )


def _goes_on(home: Home, run_id: str, ending: dict[str, Any]) -> bool:
    """Whether the run, which has an ending and is marked as open, was retried, or its ending is not delivered yet."""
    is_retried = markers.is_since(home, run_id, str(ending.get("closed_at", "")))
    return is_retried or not inbox.has(home, str(ending.get("entry_id", "")))


def _open_state(run_dir: Path) -> str:
    return "PAUSED" if pauses.since(run_dir) else "RUNNING"


def _progress(run_dir: Path) -> Progress:
    """What the run's steps come to, and what it says itself."""
    said = artifacts.read_json(run_dir / artifacts.PROGRESS) or {}
    done, total = (value if isinstance(value := said.get(name), int) else 0 for name in ("done", "total"))
    found = progress(artifacts.events(run_dir))
    return replace(found, phase=str(said.get("phase", "")), done=done, total=total, note=str(said.get("note", "")))


def progress(events: Iterable[dict[str, Any]]) -> Progress:
    """What the transcript's events come to."""
    open_steps: dict[str, tuple[str, str]] = {}
    finished: set[str] = set()
    tokens: Counter[str] = Counter()
    cost = 0.0
    last_error, failed_in_a_row = "", 0
    for event in events:
        key, kind, label = str(event.get("step", "")), event.get("event"), str(event.get("label", ""))
        if kind == "step_started":
            open_steps[key] = (label, str(event.get("at", "")))
            continue
        open_steps.pop(key, None)
        last_error = str(event.get("error", "")) if kind == "step_failed" else ""
        attempt = event.get("attempt") if last_error else 0
        failed_in_a_row = attempt if isinstance(attempt, int) else 0
        if kind in {"step_finished", "step_served"}:
            finished.add(key)
        for reply in event.get("tokens") or ():
            tokens.update({name: reply.get(name, 0) for name in ("input", "output", "cache_read", "cache_creation")})
            cost += reply.get("cost_usd") or 0
    return Progress(
        steps_finished=len(finished),
        current=tuple(label for label, _ in open_steps.values()),
        current_since=min((since for _, since in open_steps.values()), default=""),
        input_tokens=tokens["input"] + tokens["cache_read"] + tokens["cache_creation"],
        output_tokens=tokens["output"],
        cost_usd=round(cost, 6),
        last_error=last_error,
        failed_in_a_row=failed_in_a_row,
    )


def seconds_since(moment: str) -> float:
    """Seconds from `moment` (ISO 8601) to now; 0 when it does not parse."""
    try:
        return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
    except ValueError:
        return 0.0
