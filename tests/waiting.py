"""Bounded waiting for what other threads and processes bring about."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT_SECONDS = 25.0
"""How long anything may take, unless the test says otherwise."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.02, 0.15
"""The pause between two looks. It grows: some list all processes, and would take what is waited for its time."""

T = TypeVar("T")


def eventually(look: Callable[[], T | None], what: str = "", seconds: float = LIMIT_SECONDS) -> T:
    """What `look` finds, once it finds something; AssertionError that names `what` when that takes too long."""
    deadline = time.monotonic() + seconds
    pauses = _pauses()
    while not (found := look()):
        _fail_after(deadline, what or repr(look))
        time.sleep(next(pauses))
    return found


async def eventually_async(look: Callable[[], T | None], what: str = "", seconds: float = LIMIT_SECONDS) -> T:
    """The same for asynchronous tests; `look` must not block."""
    deadline = time.monotonic() + seconds
    pauses = _pauses()
    while not (found := look()):
        _fail_after(deadline, what or repr(look))
        await anyio.sleep(next(pauses))
    return found


def _pauses() -> Iterator[float]:
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(pause * 1.25, LONGEST_PAUSE_SECONDS)


def _fail_after(deadline: float, what: str) -> None:
    assert time.monotonic() < deadline, f"not in time: {what}"
