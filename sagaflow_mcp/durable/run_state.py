"""What the interceptor knows of the run whose workflow code is running, for the code of ours that it calls."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sagaflow_mcp.durable.answers import Questions
    from sagaflow_mcp.durable.permits import Permits
    from sagaflow_mcp.durable.told import Told


@dataclass(frozen=True)
class RunState:
    """One execution of a run."""

    envelope: Mapping[str, Any]
    """What it was launched with."""
    questions: Questions
    """What it asks people."""
    told: Told
    """What people tell its agents."""
    permits: Permits
    """What its agents may do without asking."""


_CHILD: ContextVar[Mapping[str, Any] | None] = ContextVar("sagaflow_child", default=None)
_STATE: ContextVar[RunState] = ContextVar("sagaflow_run_state")


def enter(state: RunState) -> None:
    """Make `state` that of the current task and of those it begins."""
    _STATE.set(state)


def current() -> RunState:
    """The state of the run that the caller is part of."""
    return _STATE.get()


@contextmanager
def starting_child(envelope: Mapping[str, Any]) -> Iterator[None]:
    """A child that the body starts gets what `envelope` has, in place of what its parent has."""
    token = _CHILD.set(envelope)
    try:
        yield
    finally:
        _CHILD.reset(token)


def child_envelope() -> Mapping[str, Any]:
    """What the child that is being started has of its own; empty for one of the parent's own skill."""
    return _CHILD.get() or {}
