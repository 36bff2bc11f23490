"""What `sagaflow skills test` finds: whether each case gives what it should, also when the worker is killed."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio

from sagaflow_mcp import records
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.testing.cases import NOT_CHECKED
from sagaflow_mcp.testing.trials import Homes

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from pathlib import Path

    from sagaflow_mcp.testing.cases import Case
    from sagaflow_mcp.testing.trials import Outcome, Trials

HOMES = 3
"""How many throw-away homes there are at the same time: most of the time their runs wait for a dead worker's task."""

SHOWN = 200
"""How much of what was expected and of what came is shown, in characters."""


@dataclass(frozen=True)
class Difference:
    """Something that is not as it should be."""

    what: str
    """`state`, `result`, `file …`, `steps`, `model calls`, `step … again` or `step … on a replay`."""
    expected: str
    came: str
    killed: str = ""
    """Where the worker was killed; empty when it was not."""


@dataclass(frozen=True)
class Verdict:
    """What came of one case."""

    skill: str
    case: str
    state: str
    result: str
    """As JSON, shortened."""
    kills: int = 0
    """How often the worker was killed, each time in a run of its own."""
    differences: list[Difference] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether all is as it should be."""
        return not self.differences


def judge(skills: Mapping[Path, list[Case]], tell: Callable[[Verdict], None], *, crash: bool) -> None:
    """Tell the verdict on each case, as soon as it is known.

    Args:
        skills: the cases by the folder of their skill.
        tell: what is to be done with a verdict.
        crash: whether the worker is also killed, at each crash point in turn.

    Raises:
        KeyboardInterrupt: there was a ^C or SIGTERM, and all that ran has been ended.
    """
    anyio.run(_unless_interrupted, functools.partial(_all_judged, skills, tell, crash=crash))


async def _all_judged(skills: Mapping[Path, list[Case]], tell: Callable[[Verdict], None], *, crash: bool) -> None:
    # A home for each folder that skills lie in: another skill of the same name may lie in another one.
    for folder, together in itertools.groupby(sorted(skills, key=_parent), _parent):
        async with Homes(folder) as homes:
            for skill in together:
                for case in skills[skill]:
                    tell(await _judged(homes, skill.name, case, crash=crash))


def _parent(skill: Path) -> Path:
    return skill.parent


async def _unless_interrupted(work: Callable[[], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()
    with anyio.CancelScope() as scope:
        for number in (signal.SIGINT, signal.SIGTERM):
            # Not asyncio's own way with a ^C: it would leave a thread behind that goes on starting an engine, and a
            # second one would stop the cleaning up.
            loop.add_signal_handler(number, scope.cancel)
        return await work()
    raise KeyboardInterrupt


async def _judged(homes: Homes, skill: str, case: Case, *, crash: bool) -> Verdict:
    (trials,) = await homes.take(1)
    try:
        first = await trials.run(skill, case, 0 if crash else None)
    except Refusal as refused:
        refusal = Difference("launch", "accepted", str(refused))
        return Verdict(skill, case.name, "", "", differences=[refusal])
    differences = list(_unexpected(case, first))
    kills = len(trials.points.passed(first.run_id)) if crash and not differences else 0
    differences += await _crashed(homes, skill, case, first, kills)
    if any(each.killed for each in differences):
        # So that nobody looks for the cause in the kill where there is none.
        (trials,) = await homes.take(1)
        second = await trials.run(skill, case, 0)
        differences += list(_changed(first, second, "nowhere: a second run without a kill differs as well"))
    return Verdict(skill, case.name, first.state, _shown(first.result), kills, differences)


async def _crashed(homes: Homes, skill: str, case: Case, first: Outcome, kills: int) -> list[Difference]:
    """What differs from the `first` run when the worker is killed at each crash point, in their order."""
    numbers = iter(range(1, kills + 1))
    found: dict[int, list[Difference]] = {}

    async def work(trials: Trials) -> None:
        for number in numbers:
            found[number] = list(_crash(await trials.run(skill, case, number), trials, first, number))

    try:
        async with anyio.create_task_group() as group:
            for trials in await homes.take(min(HOMES, kills)):
                group.start_soon(work, trials)
    except ExceptionGroup as failed:
        # What one home suffers from, the others do.
        raise failed.exceptions[0] from None
    return [each for number in sorted(found) for each in found[number]]


def _crash(run: Outcome, trials: Trials, first: Outcome, number: int) -> Iterator[Difference]:
    """What differs from the `first` run in one whose worker was killed at the crash point of that number."""
    passed = trials.points.passed(run.run_id)
    if len(passed) < number:
        yield Difference("steps", f"at least {number} crash points", f"{len(passed)}", "nowhere: this run was shorter")
        return
    yield from _changed(first, run, str(passed[number - 1]))


def _unexpected(case: Case, run: Outcome) -> Iterator[Difference]:
    """What is not as the case says."""
    if run.state != case.state:
        yield Difference("state", case.state, f"{run.state}: {run.summary}")
    if case.result is not NOT_CHECKED and run.result != case.result:
        yield Difference("result", _shown(case.result), _shown(run.result))
    for name, content in case.artifacts.items():
        if run.files.get(name) != content:
            yield Difference(f"file {name!r}", _shown(content), _shown(run.files.get(name)))


def _changed(first: Outcome, run: Outcome, killed: str) -> Iterator[Difference]:
    """What differs between two runs of one case."""
    if (first.state, first.summary) != (run.state, run.summary):
        yield Difference("state", f"{first.state}: {first.summary}", f"{run.state}: {run.summary}", killed)
    if first.result != run.result:
        yield Difference("result", _shown(first.result), _shown(run.result), killed)
    for name in sorted(first.files.keys() | run.files.keys()):
        if first.files.get(name) != run.files.get(name):
            expected, came = _shown(first.files.get(name)), _shown(run.files.get(name))
            yield Difference(f"file {name!r}", expected, came, killed)
    if first.steps != run.steps:
        yield Difference("steps", _only(first.steps, run.steps), _only(run.steps, first.steps), killed)
    for label in run.again:
        yield Difference(f"step {label!r} again", "not after it has finished", "once more", killed)
    for asked, on_replay in run.otherwise:
        expected, came = _apart(asked.given, on_replay.given)
        yield Difference(f"step {asked.label!r} on a replay", expected, came, killed)
    yield from _calls(first, run, killed)


def _calls(first: Outcome, run: Outcome, killed: str) -> Iterator[Difference]:
    """What the model was asked otherwise; a call that was in flight at the kill may come once more."""
    if first.calls.keys() != run.calls.keys():
        expected, came = first.calls.keys() - run.calls.keys(), run.calls.keys() - first.calls.keys()
        yield Difference("model calls", _listed(expected), _listed(came), killed)
        return
    more = (run.calls - first.calls).total()
    allowed = max(run.retried - first.retried, 0)
    if more > allowed or first.calls - run.calls:
        counts = f"{first.calls.total()} and at most {allowed} more", f"{run.calls.total()}"
        yield Difference("model calls", *counts, killed)


def _apart(one: str, other: str) -> tuple[str, str]:
    """Two long texts, each in a line, from a little before where they begin to differ."""
    alike = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    begin = max(alike - SHOWN // 2, 0)
    return records.one_line(one[begin:], SHOWN), records.one_line(other[begin:], SHOWN)


def _only(these: Counter[str], others: Counter[str]) -> str:
    """What `these` have that `others` have not, in a line."""
    found = [f"{count} of {label}" for label, count in sorted((these - others).items())]
    return records.one_line(", ".join(found) or "nothing more", SHOWN)


def _listed(requests: set[str]) -> str:
    """What was asked last in each, in a line."""
    texts = (str(json.loads(each)["messages"][-1]["content"]) for each in sorted(requests))
    return records.one_line("; ".join(map(repr, texts)) or "nothing else", SHOWN)


def _shown(value: object) -> str:
    return records.one_line(json.dumps(value, ensure_ascii=False), SHOWN)
