"""What people tell the agents of a run while they work: each hears it with its next turn."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import workflow

from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

TELL = "sagaflow_tell"
"""The update that brings a message."""

PATIENCE = timedelta(seconds=5)
"""How long a message waits for an agent: after a crash, or in a new execution, one may be about to go on."""

LONGEST = 4_000
"""The longest message, in characters."""

MOST = 50
"""How many messages a run takes: each goes on into its next execution."""


class Told:
    """The messages to the agents of one run.

    Args:
        messages: those told to an execution before; the list is kept, so that the next execution gets it.
    """

    def __init__(self, messages: list[str]) -> None:
        self._messages = messages
        self._at_work = 0

    async def take(self, text: str) -> None:
        """Take a message that an agent at work will hear.

        Raises:
            Refusal: no agent is at work, the message is too long, or the run has had too many.
        """
        if len(text) > LONGEST:
            raise Refusal(f"the message has {len(text):,} characters; {LONGEST:,} is the most: name a file instead")
        if len(self._messages) >= MOST:
            raise Refusal(f"the run has been told {MOST} messages and takes no more")
        with suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._at_work > 0, timeout=PATIENCE)
        if not self._at_work:
            raise Refusal("no agent of the run is at work now (those of a skill that it runs as a part hear nothing)")
        self._messages.append(text)

    def count(self) -> int:
        """How many messages there are so far."""
        return len(self._messages)

    def since(self, heard: int) -> list[str]:
        """The messages after the first `heard`."""
        return self._messages[heard:]

    @contextmanager
    def heard_by_an_agent(self) -> Iterator[None]:
        """While the body runs, an agent is at work."""
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1
