"""How the bundled skill `flaky-test` counts failures, and tells them apart."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "skills" / "flaky-test" / "counts.py"


@pytest.fixture(scope="module")
def counts() -> Any:
    """Its module: the folder of a skill is no package."""
    spec = importlib.util.spec_from_file_location("flaky_counts", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def failure(counts: Any, output: str, outcome: str = "exit status 1") -> Any:
    """A run that failed."""
    return counts.Attempt(False, outcome, 0.1, counts.signature(outcome, output), output)


PYTEST = """\
E       assert {n} == 4
=========== short test summary info ============
FAILED tests/test_queue.py::test_order[a-2] - assert {n} == 4
1 failed, 11 passed in 0.{n}s
"""

GO = "--- FAIL: TestOrder (0.0{n}s)\n    order_test.go:12: got {n}\nFAIL\nFAIL\texample.com/order\t0.00{n}s\n"

UNITTEST = """\
FAIL: test_order (test_queue.Order.test_order)
Traceback (most recent call last):
AssertionError: {n} != 4

Ran 3 tests in 0.00{n}s

FAILED (failures=1)
"""


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (
            PYTEST,
            "tests/test_queue.py::test_order[a-2]: FAILED tests/test_queue.py::test_order[a-N] - assert N == N",
        ),
        (GO, "TestOrder"),
        (UNITTEST, "test_order: AssertionError: N != N"),
        ("Ran {n} tests\nFAILED (failures=1)\n", "FAILED (failures=N)"),
        ("not ok {n} - keeps order\n", "keeps order"),
        ("saw {n} of 4\n", "saw N of N"),
        ("", ""),
    ],
)
def test_failures_that_differ_only_in_numbers_are_of_one_kind(counts: Any, output: str, said: str) -> None:
    """Told by the test and the error, where the output names them."""
    one, two = (failure(counts, output.replace("{n}", n)).signature for n in "59")
    assert one == ": ".join(filter(None, ["exit status 1", said]))
    assert one == two


def test_failures_with_other_errors_are_of_other_kinds(counts: Any) -> None:
    """The most frequent kind first, each with the numbers of its runs."""
    late, wrong = "TimeoutError: too late\n", "AssertionError: wrong\n"
    passed = counts.Attempt(True, "exit status 0", 2.0)
    series = counts.Series([failure(counts, late), passed, *(failure(counts, wrong) for _ in range(2))])
    assert list(series.signatures.items()) == [
        ("exit status 1: AssertionError: wrong", [3, 4]),
        ("exit status 1: TimeoutError: too late", [1]),
    ]
    assert series.like(counts.Series([failure(counts, late), passed])) == 1
    assert (series.took(passed=True), series.took(passed=False)) == ("2.0 s", "under 1 s")


@pytest.mark.parametrize(
    ("numbers", "chance"),
    [
        ((6, 6, 1, 6), 6 / 792),
        ((3, 30, 3, 30), 0.6646),
        ((3, 30, 0, 30), 0.1186),  # That 3 of 30 become none is no evidence: the prompts say so.
        ((0, 30, 3, 30), 1.0),
    ],
)
def test_a_difference_by_chance_is_as_likely_as_fishers_test_says(
    counts: Any, numbers: tuple[int, ...], chance: float
) -> None:
    """One-sided, exactly."""
    assert counts.chance_of_more(*numbers) == pytest.approx(chance, abs=5e-4)


def test_rates_have_intervals(counts: Any) -> None:
    """Wilson's; where none fails, the bound is about three in the number of runs."""
    assert counts.interval(3, 30) == pytest.approx((0.0346, 0.2562), abs=1e-3)
    assert counts.interval(0, 30)[0] == 0
    assert counts.at_most(30) == pytest.approx(3 / 30, rel=0.06)
    assert counts.at_most(300) == pytest.approx(3 / 300, rel=0.01)
