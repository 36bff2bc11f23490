"""The runs of a home, as their files tell: what they are, how far they have come, how they ended."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import artifacts, markers, pauses, questions, records, run_filter, run_index
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.history import History, seconds_between
from sagaflow_mcp.run_filter import RunFilter
from sagaflow_mcp.run_index import Known

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.questions import Question
    from sagaflow_mcp.run_index import RunFolder

OPEN = run_filter.OPEN

UNKNOWN = "?"
"""The skill or the state of a run whose files do not say it."""

ALL = RunFilter()
STILL_OPEN = RunFilter(states=frozenset(OPEN))


@dataclass(frozen=True)
class RunningStep:
    """A step in flight."""

    label: str
    since: str
    """When its present attempt began."""
    attempt: int
    """From 1."""


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
    running: tuple[RunningStep, ...] = ()
    """The steps in flight, the oldest first."""
    phase_since: str = ""
    """Since when it has been at that; empty where it says nothing."""


@dataclass(frozen=True)
class Run:
    """One run."""

    run_id: str
    skill: str
    state: str
    """`RUNNING`, `PAUSED`, or the status of its ending; `UNKNOWN` where its files are damaged."""
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

    @property
    def is_damaged(self) -> bool:
        """Whether its files do not say what it ran, or how it ended."""
        return UNKNOWN in {self.skill, self.state} or not (self.is_open or self.closed_at)


def get(home: Home, run_id: str, *, with_progress: bool = True) -> Run:
    """The run `run_id`, with its progress unless it is not wanted; Refusal when there is none."""
    run_dir = Path(home.run(run_id))
    # Also where somebody has removed the folder of one that is open.
    is_there = records.is_run_id(run_id) and (run_dir.is_dir() or markers.exists(home, run_id))
    run = _read(home, run_dir, with_progress=with_progress) if is_there else None
    if run is None:
        raise Refusal(f"there is no run {run_id[:120]!r} in {home.root!r}; `sagaflow runs` shows what there is")
    return run


def listing(home: Home, chosen: RunFilter = ALL, *, limit: int = 20) -> list[Run]:
    """The runs of `home` that pass the filter `chosen`, newest first, at most `limit`.

    Of their progress only what open ones say themselves: their steps are not looked at.
    """
    if chosen.is_of_open_runs:
        found = [run for run_id in markers.run_ids(home) if (run := _read(home, Path(home.run(run_id)))) is not None]
        return sorted(filter(chosen.takes, found), key=lambda run: run.created_at, reverse=True)[:limit]
    return _newest(home, limit) if chosen.has_none else _filtered(home, chosen, limit)


def _newest(home: Home, limit: int) -> list[Run]:
    ordered = sorted(run_index.folders(home), key=run_index.launched, reverse=True)
    found = (_read(home, Path(folder.path)) for folder in ordered)
    return list(itertools.islice((run for run in found if run is not None), limit))


def _filtered(home: Home, chosen: RunFilter, limit: int) -> list[Run]:
    """As `listing`, by way of the index: the files of a run that has ended are read once, and where it is shown."""
    index = run_index.RunIndex(home)
    folders = list(run_index.folders(home))
    opened = markers.run_ids(home)
    known = {each.name: about for each in folders if (about := index.find(each)) and each.name not in opened}

    def launched(folder: RunFolder) -> float:
        return known[folder.name].launched if folder.name in known else run_index.launched(folder)

    found: list[Run] = []
    for folder in sorted(folders, key=launched, reverse=True):
        if len(found) >= limit:
            break
        if folder.name in known and not (known[folder.name].state and chosen.takes(known[folder.name])):
            continue
        run = _read(home, Path(folder.path))
        if folder.name not in known and folder.name not in opened:
            index.add(folder, _known(folder, run))
        if run is not None and chosen.takes(run):
            found.append(run)
    index.keep(folders)
    return found


def _known(folder: RunFolder, run: Run | None) -> Known:
    if run is None or run.is_open:
        return Known(run_index.launched(folder), "", "", "", "")
    return Known(run_index.launched(folder), run.state, run.skill, run.project_dir, run.created_at)


def _read(home: Home, run_dir: Path, *, with_progress: bool = False) -> Run | None:
    """The run in `run_dir`; None where a launch was cut off before there was one."""
    # Before the ending: of a run that was retried, and ends again at this moment, that would be the one before.
    is_open = markers.exists(home, run_dir.name)
    about = artifacts.read_json(run_dir / "run.json") or {}
    ending = artifacts.read_json(run_dir / "ending.json")
    if ending is not None and is_open and markers.goes_on(home, run_dir.name, ending):
        ending = None
    if ending is None and not is_open:
        if not (run_dir / "ending.json").exists():
            return None
        ending = {"summary": f"how it ended is not known: 'ending.json' in {str(run_dir)!r} is damaged"}
    now = progress(artifacts.events(run_dir)) if with_progress else Progress()
    if with_progress or ending is None:
        now = told(now, run_dir)
    report = run_dir / artifacts.REPORT
    said = ending or {}
    return Run(
        run_id=run_dir.name,
        skill=skill if isinstance(skill := about.get("skill"), str) else UNKNOWN,
        state=_open_state(run_dir) if ending is None else _how(ending),
        created_at=str(about.get("created_at", "")),
        closed_at=str(said.get("closed_at", "")),
        project_dir=str(about.get("project_dir", "")),
        summary=str(said.get("summary", "")),
        run_dir=str(run_dir),
        report_path=str(report) if report.exists() else "",
        result=said.get("result"),
        progress=now,
        questions=tuple(questions.listing(run_dir)) if ending is None else (),
    )


def _how(ending: dict[str, Any]) -> str:
    """The state of a run with this ending; `UNKNOWN` where that is damaged."""
    try:
        datetime.fromisoformat(ending.get("closed_at") or records.now())
        return str(ending["status"]) if ending["status"] in records.ENDINGS else UNKNOWN
    except (KeyError, TypeError, ValueError):
        return UNKNOWN


def _open_state(run_dir: Path) -> str:
    return "PAUSED" if pauses.since(run_dir) else "RUNNING"


def told(found: Progress, run_dir: Path) -> Progress:
    """`found` with what the run says itself."""
    said = artifacts.read_json(run_dir / artifacts.PROGRESS) or {}
    done, total = (value if isinstance(value := said.get(name), int) else 0 for name in ("done", "total"))
    phase, since, note = (str(said.get(name, "")) for name in ("phase", "since", "note"))
    return replace(found, phase=phase, phase_since=since, done=done, total=total, note=note)


def progress(events: Iterable[dict[str, Any]]) -> Progress:
    """What the transcript's events come to."""
    return summed_up(History(events))


def summed_up(history: History) -> Progress:
    """What a run's history comes to."""
    running = tuple(
        RunningStep(step.label, step.attempts[-1].began, step.attempts[-1].number) for step in history.running
    )
    return Progress(
        steps_finished=sum(step.is_done for step in history.steps.values()),
        current=tuple(step.label for step in running),
        current_since=min((step.since for step in running), default=""),
        running=running,
        input_tokens=history.tokens.input,
        output_tokens=history.tokens.output,
        cost_usd=history.tokens.cost_usd,
        last_error=history.last_error,
        failed_in_a_row=history.failed_in_a_row,
    )


def seconds_since(moment: str) -> float:
    """Seconds from `moment` (ISO 8601) to now; 0 when it does not parse."""
    return seconds_between(moment)
