"""What the interceptor knows of the run whose workflow code is running, for the code of ours that it calls."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagaflow_mcp.durable.answers import Questions


@dataclass(frozen=True)
class RunState:
    """One execution of a run."""

    envelope: Mapping[str, Any]
    """What it was launched with."""
    questions: Questions
    """What it asks people."""


_STATE: ContextVar[RunState] = ContextVar("sagaflow_run_state")


def enter(state: RunState) -> None:
    """Make `state` that of the current task and of those it begins."""
    _STATE.set(state)


def current() -> RunState:
    """The state of the run that the caller is part of."""
    return _STATE.get()
