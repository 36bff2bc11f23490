"""What the offline model was given and asked: its script, its gates and the record of its requests."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sagaflow_mcp.testing._script import Body, Rule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SECRET_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
"""Headers that are not recorded."""

Outcome = Literal["open", "answered", "client went away", "server closed"]


@dataclass(frozen=True)
class Recorded:
    """A request that came in, as it stands at the time of asking."""

    number: int
    """1 for the first."""
    received_at: str
    """UTC, ISO 8601."""
    path: str
    headers: Mapping[str, str]
    """By lower-case name, without those that hold secrets."""
    body: Any
    outcome: Outcome = "open"
    """`open` until the reply is out or the client has gone."""
    status: int = 0
    """The HTTP status that was sent; 0 for none."""


class Calls:
    """One offline model's state, shared by the threads of its connections."""

    def __init__(self, rules: Sequence[Rule], *, key: str | None, log: str | Path | None) -> None:
        self._rules = list(rules)
        self._key = key
        self._log = log
        self._changed = threading.Condition()
        self._used = [0] * len(self._rules)
        self._requests: list[Recorded] = []
        self._gates: dict[str, threading.Event] = {}
        self.closing = threading.Event()
        """Set once the server has begun to close."""

    def add(self, rules: Sequence[Rule]) -> None:
        """Put further rules behind those that are there."""
        with self._changed:
            self._rules.extend(rules)
            self._used.extend([0] * len(rules))

    def replace(self, rules: Sequence[Rule]) -> None:
        """Answer by these rules alone, none of which is used yet; what was released before is held anew."""
        with self._changed:
            # Those that are shut stay: a reply may wait there.
            self._gates = {name: gate for name, gate in self._gates.items() if not gate.is_set()}
            self._rules = list(rules)
            self._used = [0] * len(rules)

    @property
    def requests(self) -> list[Recorded]:
        """All requests so far, oldest first."""
        with self._changed:
            return list(self._requests)

    def wait_for(self, count: int, seconds: float, outcome: Outcome | None) -> list[Recorded]:
        """The requests with that outcome (None for any), once there are `count` of them. TimeoutError otherwise."""

        def those() -> list[Recorded]:
            return [each for each in self._requests if outcome in (None, each.outcome)]

        with self._changed:
            if not self._changed.wait_for(lambda: len(those()) >= count, timeout=seconds):
                seen = ", ".join(each.outcome for each in self._requests) or "none"
                raise TimeoutError(f"{count} requests ({outcome or 'any'}) did not come in {seconds} s; seen: {seen}")
            return those()

    def gate(self, name: str) -> threading.Event:
        """The event that replies held under `name` wait for."""
        with self._changed:
            return self._gates.setdefault(name, threading.Event())

    def admits(self, headers: Mapping[str, str]) -> bool:
        """Whether a request with these headers brings the key that is asked for."""
        given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        return self._key is None or given == self._key

    def record(self, path: str, headers: Mapping[str, str], body: object) -> Recorded:
        """The record of a request that has come in."""
        shown = {name: value for name, value in headers.items() if name not in SECRET_HEADERS}
        with self._changed:
            entry = Recorded(len(self._requests) + 1, datetime.now(UTC).isoformat(), path, shown, body)
            self._requests.append(entry)
            self._note(entry)
        return entry

    def end(self, entry: Recorded, outcome: Outcome, status: int) -> None:
        """Record how a request ended."""
        with self._changed:
            self._requests[entry.number - 1] = ended = replace(entry, outcome=outcome, status=status)
            self._note(ended)

    def _note(self, entry: Recorded) -> None:
        if self._log is not None:
            with Path(self._log).open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(entry)) + "\n")
        self._changed.notify_all()

    def answer(self, body: Body) -> tuple[Rule, str]:
        """The rule that answers `body`, counted as used, and its text."""
        with self._changed:
            for index, rule in enumerate(self._rules):
                found = rule.found(body)
                if found and (rule.times is None or self._used[index] < rule.times):
                    self._used[index] += 1
                    break
            else:
                rule = Rule()
                found = rule.found(body)
        assert found is not None
        return rule, rule.text(body, found)
