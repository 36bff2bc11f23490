"""Many awaitables at once, a few at a time, with all results in order and every failure named."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception

from sagaflow_mcp import records
from sagaflow_mcp.durable import memory, places

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

T = TypeVar("T")

LIMIT = 20
"""How many are in flight at a time unless the caller says otherwise."""

NAMED = 5
"""How many failures a message names."""


class Results(list[T]):
    """The results in order; `None` stands where one failed."""

    def __init__(self, results: Sequence[Any], failures: dict[int, str]) -> None:
        super().__init__(results)
        self.failures = failures
        """Why each that failed did, by its position from 0."""

    @property
    def succeeded(self) -> list[T]:
        """Those that did not fail, in order."""
        return [result for index, result in enumerate(self) if index not in self.failures]


class PartialFailureError(ApplicationError, Generic[T]):
    """Some have failed. All others are finished, and are in `results`."""

    def __init__(
        self, results: Results[T], items: Sequence[object] | None, failed_at: Sequence[places.Place] = ()
    ) -> None:
        self.results = results
        named = [_named(index, why, items) for index, why in sorted(results.failures.items())]
        more = f"; and {len(named) - NAMED} more" if len(named) > NAMED else ""
        super().__init__(
            f"{len(named)} of {len(results)} failed: {'; '.join(named[:NAMED])}{more}",
            *places.details(failed_at),
            type="PartialFailure",
            non_retryable=True,
        )


class _Failure(NamedTuple):
    reason: str
    places: list[places.Place]


async def run(
    place: str, works: Sequence[Callable[[], Awaitable[T]]], items: Sequence[object] | None, limit: int
) -> Results[T]:
    """The results of `works`, at most `limit` of which are begun and not ended.

    Args:
        place: in the run, under which each of them remembers its own.
        works: begin one each.
        items: what they are for, to name those that fail; None where only their number is known.
        limit: at least 1.

    Raises:
        PartialFailureError: once all have ended, when some have failed.
        ValueError: `limit` is less than 1.
    """
    if limit < 1:
        raise ValueError(f"limit is {limit}; it must be at least 1")
    results: list[Any] = [None] * len(works)
    failures: dict[int, _Failure] = {}
    queue = iter(enumerate(works))
    lanes = [asyncio.ensure_future(_lane(place, queue, results, failures)) for _ in range(min(limit, len(works)))]
    try:
        if lanes:
            await workflow.wait(lanes)
    finally:
        for lane in lanes:
            lane.cancel()
    for lane in lanes:
        lane.result()
    found: Results[T] = Results(results, {index: each.reason for index, each in failures.items()})
    if failures:
        raise PartialFailureError(found, items, [place for each in failures.values() for place in each.places])
    return found


async def _lane(
    place: str,
    queue: Iterator[tuple[int, Callable[[], Awaitable[Any]]]],
    results: list[Any],
    failures: dict[int, _Failure],
) -> None:
    for index, work in queue:
        memory.enter(f"{place}[{index}]")
        try:
            results[index] = await _awaitable(work())
        except Exception as error:
            if is_cancelled_exception(error):
                raise
            failures[index] = _Failure(records.one_line(_reason(error), 300), places.of(error))


def _awaitable(begun: Any) -> Awaitable[Any]:
    if not inspect.isawaitable(begun):
        shown = records.one_line(repr(begun), 60)
        raise TypeError(f"there is nothing to wait for in {shown}; the function must be async")
    return begun


def _reason(error: BaseException) -> str:
    text = error.message if isinstance(error, FailureError) else str(error)
    return text or type(error).__name__


def _named(index: int, why: str, items: Sequence[object] | None) -> str:
    item = "" if items is None else f" ({records.one_line(repr(items[index]), 60)})"
    return f"{index}{item}: {why}"
