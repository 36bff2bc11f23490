"""Writing down what has been paid for, however long the disk is full."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from temporalio import activity

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

DISK_SECONDS = 2.0
"""The pause before what could not be written is written again."""


async def until_written(write: Callable[[], T], failed: Callable[[OSError], None]) -> T:
    """What `write` returns, once it has not failed.

    Args:
        write: called in a thread; OSError when it cannot write.
        failed: told of each such error.
    """
    while True:
        try:
            return await asyncio.to_thread(write)
        except OSError as error:
            failed(error)
            activity.heartbeat()
            await asyncio.sleep(DISK_SECONDS)
