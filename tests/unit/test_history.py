"""What has happened in a run, as its transcript tells."""

from __future__ import annotations

from typing import Any

import pytest

from sagaflow_mcp.history import History, Wait, seconds_between


def at(second: int) -> str:
    """A moment in one minute."""
    return f"2030-01-31T08:15:{second:02d}.000Z"


def event(kind: str, second: int, step: str = "s1", **fields: Any) -> dict[str, Any]:
    """An event of a step."""
    return {"at": at(second), "event": f"step_{kind}", "step": step, "label": f"label {step}", "attempt": 1, **fields}


def other(kind: str, second: int, **fields: Any) -> dict[str, Any]:
    """Another event."""
    return {"at": at(second), "event": kind, **fields}


def outcomes(history: History, step: str = "s1") -> list[tuple[int, str]]:
    """The attempts at a step, each with its number."""
    return [(each.number, each.outcome) for each in history.steps[step].attempts]


def test_a_failed_attempt_is_a_retry() -> None:
    """And the step is done with the one that finishes."""
    history = History([event("started", 1), event("failed", 2, error="no"), event("started", 3, attempt=2)])
    assert (history.last_error, history.running) == ("no", [history.steps["s1"]])
    history.add(event("finished", 5, attempt=2, tokens=[{"input": 1, "cache_read": 2, "output": 3, "cost_usd": 0.5}]))
    assert outcomes(history) == [(1, "failed"), (2, "finished")]
    step = history.steps["s1"]
    assert (step.retries, step.losses, step.is_done, step.state) == (1, 0, True, "finished")
    assert (step.tokens.input, step.tokens.output, step.tokens.cost_usd, step.tokens.calls) == (3, 3, 0.5, 1)
    assert (history.last_error, history.running) == ("", [])


def test_a_worker_that_dies_takes_its_steps_along_and_no_other_s() -> None:
    """Those of a worker on another machine go on."""
    history = History(
        [
            event("started", 1, worker="a"),
            event("started", 1, "s2", worker="b"),
            event("started", 1, "s3", worker="a"),
            event("finished", 2, "s3"),
            other("worker_died", 4, worker="a"),
            other("worker_died", 7, worker="a"),
        ]
    )
    assert outcomes(history) == [(1, "lost")]
    assert history.steps["s1"].attempts[0].ended == at(4)
    assert [step.key for step in history.running] == ["s2"]
    assert [(crash.at, crash.steps) for crash in history.crashes] == [(at(4), 1)]


def test_an_attempt_that_nobody_ended_was_lost_when_the_next_begins() -> None:
    """A worker on another machine has died, say."""
    history = History([event("started", 1), event("started", 9)])
    assert outcomes(history) == [(1, "lost"), (1, "running")]
    assert history.crashes == []


def test_a_result_that_the_journal_had_ends_the_attempt_that_wrote_it() -> None:
    """Its worker died before it could say so."""
    history = History([event("started", 1), event("served", 3)])
    assert outcomes(history) == [(1, "finished")]
    assert history.running == []
    again = History([event("served", 3)])
    assert (again.steps["s1"].state, again.steps["s1"].is_done) == ("served", True)


def test_a_step_belongs_to_the_phase_that_it_began_in() -> None:
    """A phase that is told twice is one."""
    history = History(
        [
            event("started", 1),
            other("phase_began", 2, label="reading"),
            other("phase_began", 2, label="reading"),
            event("started", 3, "s2"),
            other("phase_began", 4, label="writing"),
            event("finished", 5, "s2"),
        ]
    )
    assert [phase.name for phase in history.phases] == ["reading", "writing"]
    assert [step.phase for step in history.steps.values()] == ["", "reading"]
    assert history.phase == "writing"


def test_a_wait_lasts_until_its_end_is_told() -> None:
    """A question, a pause, a sleep, each told twice after a crash."""
    asked = other("question_asked", 1, id="q1", label="Well?")
    history = History(
        [
            asked,
            asked,
            other("sleep_began", 2, id="k", until=at(9)),
            other("sleep_began", 3, id="k", until=at(8)),
            other("question_closed", 4, id="q1"),
            other("question_closed", 4, id="q1"),
            other("run_paused", 5),
        ]
    )
    assert history.waits == [
        Wait("question", "Well?", at(1), at(4)),
        Wait("sleep", "", at(2), at(8)),
        Wait("pause", "", at(5)),
    ]


def test_nothing_is_under_way_once_the_run_has_ended() -> None:
    """What a step says late changes only what became of it; the time until a retry is a wait."""
    history = History(
        [
            event("started", 1),
            other("run_paused", 2),
            other("run_ended", 3, label="TERMINATED"),
            other("run_ended", 4, label="TERMINATED"),
            event("failed", 5, error="late"),
        ]
    )
    assert (history.running, outcomes(history)) == ([], [(1, "failed")])
    assert history.waits == [Wait("pause", "", at(2), at(3))]
    history.add(other("run_retried", 9))
    history.add(event("started", 10))
    assert history.waits[1:] == [Wait("ended", "", at(3), at(9))]
    assert outcomes(history) == [(1, "failed"), (1, "running")]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"event": "note"},
        {"event": 7, "step": None, "tokens": None},
        {"event": "question_closed", "id": None},
        {"event": "run_resumed"},
    ],
)
def test_an_event_of_another_version_changes_nothing(fields: dict[str, Any]) -> None:
    """A transcript outlives the version that wrote it."""
    history = History([fields])
    assert (history.steps, history.waits, history.crashes, history.phases) == ({}, [], [], [])


@pytest.mark.parametrize("tokens", [None, 7, "x", [None], [{"input": "many", "output": True}]])
def test_tokens_that_are_none_count_for_nothing(tokens: Any) -> None:
    """A damaged line must not keep a run from being shown."""
    history = History([event("finished", 1, tokens=tokens)])
    assert (history.tokens.input, history.tokens.output) == (0, 0)


def test_seconds_lie_between_two_moments() -> None:
    """None do where one is no moment, or the clock was set back."""
    assert seconds_between(at(1), at(3)) == 2
    assert seconds_between(at(3), at(1)) == 0
    assert seconds_between("", at(1)) == seconds_between("yesterday", "tomorrow") == 0
    assert seconds_between("2020-01-01T00:00:00Z") > 0
