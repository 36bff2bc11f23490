"""How far a run has come, as numbers for a progress bar."""

from __future__ import annotations

from sagaflow_mcp.progress_numbers import Numbers, ProgressNumbers
from sagaflow_mcp.runs import Progress


def told(*given: Progress) -> list[Numbers]:
    """What is told of a run that has come so far, one after another."""
    numbers = ProgressNumbers()
    return [numbers.of(each) for each in given]


def reading(done: int, total: int = 20) -> Progress:
    """A run in its first phase."""
    return Progress(steps_finished=done, phase="reading", phase_since="1", done=done, total=total)


def test_what_the_run_says_is_what_is_told() -> None:
    """With the total that it says."""
    assert told(reading(1), reading(12), reading(20)) == [(1, 20), (12, 20), (20, 20)]


def test_a_run_that_says_nothing_is_told_by_its_steps() -> None:
    """Without a total."""
    assert told(Progress(), Progress(steps_finished=3)) == [(0, None), (3, None)]


def test_phases_add_up() -> None:
    """Each counts from the beginning, and numbers never fall."""
    writing = Progress(steps_finished=21, phase="writing", phase_since="2", done=1, total=5)
    found = told(reading(20), Progress(steps_finished=20, phase="writing", phase_since="2"), writing)
    assert found == [(20, 20), (20.02, None), (21, 25)]


def test_steps_of_a_phase_that_says_its_total_later_count_little() -> None:
    """Else they would have come further than the phase says."""
    found = told(Progress(phase="reading", phase_since="1", steps_finished=8), reading(1, 9))
    assert found == [(0.008, None), (1, 9)]


def test_each_number_is_higher_than_the_last() -> None:
    """Also where the run goes back after a crash, or something is new that has no number."""
    found = told(reading(5), reading(5), reading(1), reading(20), reading(20))
    assert [number for number, _ in found] == [5, 5.001, 5.002, 20, 20.001]
    assert all(total is not None and number <= total for number, total in found)
