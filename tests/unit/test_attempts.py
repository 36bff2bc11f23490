"""Which attempts at a step count."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from temporalio.activity import ActivityCancellationDetails

from sagaflow_mcp.durable.attempts import Attempts, now, took_too_long

if TYPE_CHECKING:
    from pathlib import Path


AWAKE = 0.0
"""The worker has never slept."""


@pytest.fixture
def attempts(tmp_path: Path) -> Attempts:
    """The attempts at a step that was never tried."""
    return Attempts(tmp_path, "temporal-run", "1")


def test_failures_count(attempts: Attempts) -> None:
    """Each failure of the step's own is an attempt."""
    for number in (1, 2, 3):
        assert attempts.begin("worker-1", AWAKE) == number
        attempts.failed()


def test_attempts_that_were_stopped_do_not_count(attempts: Attempts) -> None:
    """The next attempt has the same number."""
    assert attempts.begin("worker-1", AWAKE) == 1
    attempts.spared()
    assert attempts.begin("worker-1", AWAKE) == 1


def test_an_attempt_of_a_worker_that_is_gone_does_not_count(attempts: Attempts) -> None:
    """Nobody could write down its end."""
    attempts.begin("worker-1", AWAKE)
    assert attempts.begin("worker-2", AWAKE) == 1


def test_an_attempt_that_this_worker_never_ended_counts(attempts: Attempts) -> None:
    """Temporal gave it up."""
    attempts.begin("worker-1", AWAKE)
    assert attempts.begin("worker-1", AWAKE) == 2


def test_an_attempt_that_this_worker_slept_through_does_not_count(attempts: Attempts) -> None:
    """Also where it comes to the next one first, and notes the end of that one later."""
    attempts.begin("worker-1", AWAKE)
    slept = now() + 1.0
    assert attempts.begin("worker-1", slept) == 1
    attempts.spared()
    assert attempts.begin("worker-1", slept) == 1


def test_deaths_are_counted_apart(attempts: Attempts) -> None:
    """They end no attempt that counts."""
    for deaths in (1, 2, 3):
        assert attempts.begin(f"worker-{deaths}", AWAKE) == 1
        assert attempts.died() == attempts.deaths() == deaths


def test_an_attempt_is_its_worker_s_until_its_end(attempts: Attempts) -> None:
    """Not another's, which may only have been handed it."""
    attempts.begin("worker-1", AWAKE)
    assert attempts.is_begun_by("worker-1")
    assert not attempts.is_begun_by("worker-2")
    attempts.spared()
    assert not attempts.is_begun_by("worker-1")


def test_a_finished_step_leaves_no_file(attempts: Attempts, tmp_path: Path) -> None:
    """A run of a thousand steps would have a thousand."""
    attempts.begin("worker-1", AWAKE)
    attempts.forget()
    attempts.forget()
    assert list(tmp_path.joinpath("journal").iterdir()) == []


MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("details", "seconds", "expected"),
    [
        (ActivityCancellationDetails(timed_out=True), 61.0, True),
        (ActivityCancellationDetails(not_found=True), 61.0, True),
        (ActivityCancellationDetails(not_found=True), 20.0, False),
        (ActivityCancellationDetails(timed_out=True, worker_shutdown=True), 61.0, False),
        (ActivityCancellationDetails(cancel_requested=True), 61.0, False),
        (None, 61.0, False),
    ],
    ids=["timed out", "lost and late", "lost in time", "shutdown", "cancelled", "unknown"],
)
def test_took_too_long(details: ActivityCancellationDetails | None, seconds: float, expected: bool) -> None:
    """Only the step's own time limit is its own fault."""
    assert took_too_long(details, seconds, MINUTE) is expected
