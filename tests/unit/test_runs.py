"""Runs as their files tell of them."""

from __future__ import annotations

from typing import Any

import pytest

from sagaflow_mcp import runs


def event(kind: str, step: str = "s1", **fields: Any) -> dict[str, Any]:
    """A line of a transcript."""
    return {"at": "2030-01-31T08:15:00.000Z", "event": kind, "step": step, "label": f"label of {step}", **fields}


TOKENS = {"model": "m", "input": 1, "output": 20, "cache_read": 300, "cache_creation": 4000}


def test_nothing_has_happened_before_the_first_event() -> None:
    """A run that was just launched."""
    assert runs.progress([]) == runs.Progress()


def test_a_step_that_has_begun_is_what_the_run_is_doing() -> None:
    """Since the oldest of those in flight began."""
    begun = [event("step_started", at="2030-01-31T08:15:09Z"), event("step_started", "s2", at="2030-01-31T08:15:02Z")]
    found = runs.progress(begun)
    assert found.current == ("label of s1", "label of s2")
    assert found.current_since == "2030-01-31T08:15:02Z"
    assert found.steps_finished == 0


@pytest.mark.parametrize("kind", ["step_finished", "step_served"])
def test_a_finished_step_counts_once(kind: str) -> None:
    """However often it was begun, and though the journal served it again after a kill."""
    found = runs.progress([event("step_started"), event("step_started"), event(kind), event("step_served")])
    assert (found.steps_finished, found.current, found.current_since) == (1, (), "")


def test_tokens_of_all_replies_are_added_up() -> None:
    """Those read from a cache and put into it were paid for as well; those of failed attempts too."""
    found = runs.progress(
        [event("step_failed", error="no", tokens=[TOKENS]), event("step_finished", tokens=[TOKENS, TOKENS])]
    )
    assert (found.input_tokens, found.output_tokens) == (3 * 4301, 3 * 20)


def test_the_cost_is_added_up_where_it_is_told() -> None:
    """The Messages API does not say; the claude command does."""
    priced = {**TOKENS, "cost_usd": 0.25}
    found = runs.progress([event("step_failed", error="no", tokens=[priced]), event("step_finished", tokens=[priced])])
    assert found.cost_usd == 0.5
    assert runs.progress([event("step_finished", tokens=[TOKENS])]).cost_usd == 0


def test_the_last_error_stands_until_something_is_done() -> None:
    """While the step is begun again, and no longer."""
    failed = [event("step_started"), event("step_failed", error="overloaded"), event("step_started")]
    assert runs.progress(failed).last_error == "overloaded"
    assert runs.progress([*failed, event("step_finished")]).last_error == ""


@pytest.mark.parametrize("fields", [{}, {"event": "note"}, {"event": 7, "step": None, "tokens": None}])
def test_an_event_of_another_version_changes_nothing(fields: dict[str, Any]) -> None:
    """A transcript outlives the version that wrote it."""
    assert runs.progress([fields]) == runs.Progress()


@pytest.mark.parametrize("moment", ["", "yesterday", "3000-01-01T00:00:00Z"])
def test_no_time_has_passed_since_what_is_no_moment_of_the_past(moment: str) -> None:
    """A clock may be wrong, and a file damaged."""
    assert runs.seconds_since(moment) == 0
