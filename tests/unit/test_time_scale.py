"""The scale of a timeline."""

from __future__ import annotations

import pytest

from sagaflow_mcp.time_scale import TimeScale


def test_a_run_that_is_busy_all_the_time_has_an_even_scale() -> None:
    """From 0 to 100."""
    scale = TimeScale([(0, 10), (5, 20)], 0, 20)
    assert [scale.place(each) for each in (-5, 0, 5, 20, 30)] == [0, 0, 25, 100, 100]
    assert scale.gaps == []


def test_days_of_waiting_take_little_room() -> None:
    """What was done before and after stays to be seen."""
    day = 86_400
    scale = TimeScale([(0, 10), (day, day + 10)], 0, day + 10)
    assert [tuple(gap) for gap in scale.gaps] == [(10, day)]
    before, after = scale.place(10), scale.place(day)
    assert 40 < before < after < 60
    assert scale.place(day + 5) == pytest.approx((after + 100) / 2, abs=0.01)
    assert before < scale.place(day / 2) < after


@pytest.mark.parametrize("place", [0, 25, 50, 75, 100])
def test_a_place_has_its_moment(place: float) -> None:
    """Shortened times included."""
    scale = TimeScale([(0, 10), (500, 520)], 0, 600)
    assert scale.place(scale.moment(place)) == pytest.approx(place, abs=0.01)


@pytest.mark.parametrize("spans", [[], [(5, 5)], [(9, 3)], [(-50, -40)]])
def test_a_run_that_has_done_nothing_yet_has_a_scale(spans: list[tuple[float, float]]) -> None:
    """Also one of no length."""
    assert TimeScale(spans, 0, 10).place(5) <= 100
    assert TimeScale(spans, 10, 10).place(10) <= 100
