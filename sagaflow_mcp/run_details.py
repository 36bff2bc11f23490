"""All that there is to see of one run: its history, its files, its log."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import artifacts, runs
from sagaflow_mcp.history import History, Tokens, seconds_between

if TYPE_CHECKING:
    from sagaflow_mcp.history import Step
    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.runs import Run

MOST_FILES = 1_000
"""More files of a run are not listed."""

TAIL_BYTES = 64 * 1024
"""How much of the end of a log is looked at."""


@dataclass(frozen=True)
class Artifact:
    """A file that the run has written."""

    name: str
    """Its path in the run's folder."""
    bytes: int


@dataclass
class StepTotals:
    """What the steps of one name come to."""

    label: str
    steps: int = 0
    done: int = 0
    running: int = 0
    retries: int = 0
    """Attempts that failed."""
    losses: int = 0
    """Attempts that were lost with their worker."""
    seconds: float = 0.0
    """How long the attempts took, added up."""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


@dataclass(frozen=True)
class RunDetails:
    """One run, whole."""

    run: Run
    history: History = field(default_factory=History)
    about: dict[str, Any] = field(default_factory=dict)
    """What it was launched with."""
    artifacts: tuple[Artifact, ...] = ()
    log_path: str = ""
    """Its own log; empty while there is none."""

    @property
    def totals(self) -> list[StepTotals]:
        """The steps by name, in the order in which they first began."""
        found: dict[str, StepTotals] = {}
        for step in self.history.steps.values():
            _count(found.setdefault(step.label, StepTotals(step.label)), step)
        return list(found.values())


def get(home: Home, run_id: str) -> RunDetails:
    """The run `run_id` with its history and files; Refusal when there is none."""
    run = runs.get(home, run_id)
    run_dir = Path(run.run_dir)
    log = run_dir / artifacts.LOG
    return RunDetails(
        run=run,
        history=History(artifacts.events(run_dir)),
        about=artifacts.read_json(run_dir / "run.json") or {},
        artifacts=tuple(_artifacts(run_dir)),
        log_path=str(log) if log.exists() else "",
    )


def last_lines(path: str, count: int) -> list[str]:
    """The last `count` lines of the file `path`; none where it cannot be read."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - empty where there is no log
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()[-count:]
    except OSError:
        return []


def _artifacts(run_dir: Path) -> list[Artifact]:
    found: list[Artifact] = []
    for folder, folders, files in os.walk(run_dir):
        inner = Path(folder).relative_to(run_dir)
        if inner == Path():
            folders[:] = [each for each in folders if each.lower() not in artifacts.RESERVED]
            files = [each for each in files if each.lower() not in artifacts.RESERVED]  # noqa: PLW2901 - fewer of them
        folders.sort()
        for name in sorted(files):
            if not name.endswith("~") and len(found) < MOST_FILES:
                found.append(Artifact(str(inner / name), _size(Path(folder, name))))
    return found


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _count(total: StepTotals, step: Step) -> None:
    total.steps += 1
    total.done += step.is_done
    total.running += step.state == "running"
    total.retries += step.retries
    total.losses += step.losses
    total.seconds += sum(seconds_between(each.began, each.ended) for each in step.attempts)
    tokens: Tokens = step.tokens
    total.input_tokens += tokens.input
    total.output_tokens += tokens.output
    total.cost_usd = round(total.cost_usd + tokens.cost_usd, 6)
