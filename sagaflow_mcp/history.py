"""What has happened in a run, as the events of its transcript tell: its steps with their attempts, phases and waits."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

OUTCOMES = {"step_finished": "finished", "step_failed": "failed", "step_cancelled": "cancelled"}
"""How an attempt ends, by event."""

LOST = "lost"
"""How an attempt has ended whose worker died, or was not heard of any more."""

RUNNING = "running"
"""An attempt that has not ended."""

SERVED = "served"
"""A result that the journal had."""

WAITS = {
    "question_asked": "question",
    "question_closed": "question",
    "run_paused": "pause",
    "run_resumed": "pause",
}
"""What a run waits for, by the events with which that begins and ends."""

TOKENS_IN = ("input", "cache_read", "cache_creation")


@dataclass
class Tokens:
    """What model calls have used."""

    calls: int = 0
    input: int = 0
    """With those read from a cache and put into it."""
    output: int = 0
    cost_usd: float = 0.0
    """As far as the `claude` command was asked, which says so."""

    def add(self, replies: Any) -> None:
        """Count the replies of one event; what is none counts for nothing."""
        for reply in replies if isinstance(replies, list) else ():
            if isinstance(reply, dict):
                self.calls += 1
                self.input += sum(_number(reply.get(name)) for name in TOKENS_IN)
                self.output += _number(reply.get("output"))
                self.cost_usd = round(self.cost_usd + _number(reply.get("cost_usd")), 6)


@dataclass
class Attempt:
    """One attempt at a step."""

    number: int
    """From 1; one that did not count, as its worker died, has the number of the next."""
    began: str
    ended: str = ""
    outcome: str = RUNNING
    """`running`, `finished`, `failed`, `cancelled`, or `lost`."""
    error: str = ""
    worker: str = ""


@dataclass
class Step:
    """A step, however often it was tried."""

    key: str
    label: str
    phase: str = ""
    """What the run said that it was at when the step began."""
    attempts: list[Attempt] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    tokens: Tokens = field(default_factory=Tokens)
    served: int = 0
    """How often the journal had its result."""

    @property
    def state(self) -> str:
        """The outcome of its last attempt."""
        return self.attempts[-1].outcome if self.attempts else SERVED

    @property
    def is_done(self) -> bool:
        """Whether it has a result."""
        return bool(self.served) or any(each.outcome == "finished" for each in self.attempts)

    @property
    def retries(self) -> int:
        """How many attempts have failed."""
        return sum(each.outcome == "failed" for each in self.attempts)

    @property
    def losses(self) -> int:
        """How many attempts were lost with their worker."""
        return sum(each.outcome == LOST for each in self.attempts)


@dataclass
class Phase:
    """What the run said that it was at."""

    name: str
    began: str


@dataclass
class Wait:
    """A time in which the run waited for a person, or for time to pass."""

    kind: str
    """`question`, `pause`, `sleep`, or `ended` for the time until it was retried."""
    label: str
    began: str
    ended: str = ""


@dataclass
class Crash:
    """The death of a worker."""

    at: str
    worker: str
    steps: int = 0
    """How many attempts were lost with it."""


class History:
    """A run's history, which `add` takes further."""

    def __init__(self, events: Iterable[dict[str, Any]] = ()) -> None:
        self.steps: dict[str, Step] = {}
        """By key, in the order in which they began."""
        self.phases: list[Phase] = []
        self.waits: list[Wait] = []
        self.crashes: list[Crash] = []
        self.tokens = Tokens()
        self.last_error = ""
        """Why the latest attempt failed, while nothing has been done since."""
        self.failed_in_a_row = 0
        """Which attempt that was; 0 where none has failed."""
        self.taken_up = ""
        """When it was retried or resumed last; empty where it never was."""
        self._open: dict[str, Step] = {}
        self._waiting: dict[str, Wait] = {}
        self._stopped_at = ""
        for event in events:
            self.add(event)

    @property
    def running(self) -> list[Step]:
        """The steps in flight, the oldest first."""
        return list(self._open.values())

    @property
    def phase(self) -> str:
        """What the run is at; empty where it says nothing."""
        return self.phases[-1].name if self.phases else ""

    def add(self, event: dict[str, Any]) -> None:
        """Take in one event; one of another version changes nothing."""
        kind, at = str(event.get("event", "")), str(event.get("at", ""))
        if kind in {"run_retried", "run_resumed"}:
            self.taken_up = at
        if kind.startswith("step_"):
            self._step(kind, at, event)
        elif kind == "phase_began":
            self._phase(str(event.get("label", "")), at)
        elif kind == "worker_died":
            self._crash(str(event.get("worker", "")), at)
        elif kind == "sleep_began":
            self._sleep(at, event)
        elif kind in WAITS:
            self._wait(kind, at, event)
        elif kind == "run_ended":
            self._stop(at)
        elif kind == "run_retried" and self._stopped_at:
            self.waits.append(Wait("ended", "", self._stopped_at, at))
            self._stopped_at = ""

    def _step(self, kind: str, at: str, event: dict[str, Any]) -> None:
        key = str(event.get("step", ""))
        step = self.steps.get(key)
        if step is None:
            step = self.steps[key] = Step(key, str(event.get("label", "")) or "?", self.phase)
        step.tokens.add(event.get("tokens"))
        self.tokens.add(event.get("tokens"))
        if kind == "step_warned":
            step.warnings.append(str(event.get("warning", "")))
            return
        if kind == "step_started":
            self._begin(step, at, event)
            return
        if kind == "step_served":
            step.served += 1
            if step.state == RUNNING:  # It was written down, and its worker died before it could say so here.
                self._end(step, at, "finished")
        elif kind in OUTCOMES:
            self._end(step, at, OUTCOMES[kind], str(event.get("error", "")))
        self._open.pop(key, None)
        self.last_error = str(event.get("error", "")) if kind == "step_failed" else ""
        attempt = event.get("attempt") if self.last_error else 0
        self.failed_in_a_row = attempt if isinstance(attempt, int) else 0

    def _begin(self, step: Step, at: str, event: dict[str, Any]) -> None:
        if step.state == RUNNING:  # Nobody has said what became of the attempt before.
            self._end(step, at, LOST)
        number = event.get("attempt")
        step.attempts.append(Attempt(number if isinstance(number, int) else 1, at, worker=str(event.get("worker", ""))))
        self._open[step.key] = step

    def _end(self, step: Step, at: str, outcome: str, error: str = "") -> None:
        if not step.attempts:
            step.attempts.append(Attempt(1, at))
        last = step.attempts[-1]
        last.ended, last.outcome, last.error = at, outcome, error

    def _phase(self, name: str, at: str) -> None:
        if name != self.phase or not self.phases:
            self.phases.append(Phase(name, at))

    def _crash(self, worker: str, at: str) -> None:
        lost = [step for step in self._open.values() if step.attempts[-1].worker in {"", worker}]
        for step in lost:
            self._end(step, at, LOST)
            del self._open[step.key]
        if lost or all(each.worker != worker for each in self.crashes):
            self.crashes.append(Crash(at, worker, len(lost)))

    def _sleep(self, at: str, event: dict[str, Any]) -> None:
        key, until = f"sleep {event.get('id', '')}", str(event.get("until", ""))
        if key in self._waiting:  # Told again after a crash.
            self._waiting[key].ended = until
            return
        self._waiting[key] = Wait("sleep", "", at, until)
        self.waits.append(self._waiting[key])

    def _stop(self, at: str) -> None:
        """The run has ended: what was under way is no more."""
        self._stopped_at = self._stopped_at or at
        for step in self._open.values():
            self._end(step, at, OUTCOMES["step_cancelled"])
        self._open.clear()
        for wait in self._waiting.values():
            wait.ended = min(wait.ended or at, at)  # A sleep has been told until when.
        self._waiting.clear()

    def _wait(self, kind: str, at: str, event: dict[str, Any]) -> None:
        key = f"{WAITS[kind]} {event.get('id', '')}"
        if kind in {"question_asked", "run_paused"}:
            if key not in self._waiting:
                self._waiting[key] = Wait(WAITS[kind], str(event.get("label", "")), at)
                self.waits.append(self._waiting[key])
        elif key in self._waiting:
            self._waiting.pop(key).ended = at


def seconds_between(began: str, ended: str = "") -> float:
    """Seconds from one moment (ISO 8601) to another, or to now where that is empty; 0 when they do not parse."""
    try:
        end = datetime.fromisoformat(ended) if ended else datetime.now(UTC)
        return max(0.0, (end - datetime.fromisoformat(began)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0
