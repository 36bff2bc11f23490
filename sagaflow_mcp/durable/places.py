"""Where in a run's history the steps are whose failure has ended it: what a retry has to begin again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError, FailureError

from sagaflow_mcp.durable import run_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KEY = "sagaflow_failed_at"
"""The member of a failure's details that has them."""


class Place(NamedTuple):
    """That of one step."""

    link: int
    """Which of the run's executions it is in, from 0."""
    event_id: int
    """Of the event that scheduled the step, in that execution's history."""


def of(error: BaseException) -> list[Place]:
    """Those of the steps that `error`, raised in workflow code, comes from; without repeats."""
    link = int(run_state.current().envelope.get("link", 0))
    return list(dict.fromkeys(_all(error, link)))


def recorded(error: BaseException, link: int) -> list[Place]:
    """Those of the steps that `error` comes from, with which the execution `link` has ended."""
    return list(dict.fromkeys(_all(error, link)))


def details(found: Iterable[Place]) -> list[Any]:
    """What a failure keeps of them: the first in each execution, since a retry begins with that."""
    first: dict[int, Place] = {}
    for each in found:
        first[each.link] = min(each, first.get(each.link, each))
    return [{KEY: [list(each) for each in first.values()]}] if first else []


def _all(error: BaseException, link: int) -> Iterator[Place]:
    each: BaseException | None = error
    while each is not None:
        if isinstance(each, ActivityError):
            yield Place(link, each.scheduled_event_id)
        elif isinstance(each, ChildWorkflowError):
            yield Place(link, each.initiated_event_id)
        elif isinstance(each, ApplicationError):
            yield from _kept(each.details)
        each = each.cause if isinstance(each, FailureError) else each.__cause__


def _kept(given: Iterable[Any]) -> Iterator[Place]:
    for detail in given:
        if isinstance(detail, dict) and isinstance(detail.get(KEY), list):
            yield from (Place(*each) for each in detail[KEY])
