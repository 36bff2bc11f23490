"""How much a child is put up with."""

from __future__ import annotations

from sagaflow_mcp import patience


def test_five_early_deaths_in_a_row_are_a_crash_loop() -> None:
    """The first start comes at once, the next ones ever later, and then no more."""
    deaths = patience.Deaths()
    assert [deaths.delay(1) for _ in range(5)] == [0, 0.2, 0.4, 0.8, None]


def test_a_long_life_clears_the_early_deaths() -> None:
    """A child that dies now and then is always started at once."""
    deaths = patience.Deaths()
    assert [deaths.delay(1), deaths.delay(1), deaths.delay(60), deaths.delay(1)] == [0, 0.2, 0, 0]


def test_deaths_of_what_is_gone_do_not_count() -> None:
    """As many are put up with as at first."""
    deaths = patience.Deaths()
    for _ in range(4):
        deaths.delay(1)
    deaths.absolve()
    assert [deaths.delay(1) for _ in range(5)] == [0, 0.2, 0.4, 0.8, None]


def test_a_forgiven_child_has_one_more_life() -> None:
    """An early death after that is a crash loop at once."""
    deaths = patience.Deaths()
    deaths.forgive()
    assert deaths.delay(1) is None
