"""What a person tells the agents of a run while they work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagaflow_mcp import run_updates
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from sagaflow_mcp.settings import Settings


async def tell(settings: Settings, run_id: str, text: str) -> None:
    """Tell the agents at work in the run `run_id` something, which each hears with its next turn.

    Raises:
        Refusal: the text is blank or too long, there is no such run, it has ended, or no agent of it is at work.
        Failure: the engine, Temporal or the run's worker does not answer.
    """
    if not text.strip():
        raise Refusal("the message is empty; give one")
    await run_updates.running(settings, run_id, "hears")
    # Imported here: it takes half a second, and a message that is refused should not.
    from sagaflow_mcp.durable import told  # noqa: PLC0415

    # A terminal can hand over bytes that are no text, which no message can hold.
    whole = text.encode(errors="replace").decode()
    await run_updates.send(settings, run_id, told.TELL, [whole], "the message")
