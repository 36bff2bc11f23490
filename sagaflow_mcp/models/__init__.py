"""Models: one request type, one reply type, and the transports between them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sagaflow_mcp.models._choice import ChosenTransport
from sagaflow_mcp.models._deferred import DeferredMessagesApi
from sagaflow_mcp.models._types import (
    DEFAULT_MODELS,
    MALFORMED,
    IncompleteReply,
    ModelReply,
    ModelRequest,
    Tier,
    Transport,
    Verdict,
    model_id,
)

if TYPE_CHECKING:
    from sagaflow_mcp.models._messages_api import MessagesApi
    from sagaflow_mcp.models._verdict import verdict

__all__ = [
    "DEFAULT_MODELS",
    "MALFORMED",
    "ChosenTransport",
    "DeferredMessagesApi",
    "IncompleteReply",
    "MessagesApi",
    "ModelReply",
    "ModelRequest",
    "Tier",
    "Transport",
    "Verdict",
    "model_id",
    "verdict",
]

_SLOW = {"MessagesApi": "_messages_api", "verdict": "_verdict"}
"""Names whose modules import `anthropic`, which takes 2 s: whoever only needs the types does not pay for it."""


def __getattr__(name: str) -> Any:
    if name not in _SLOW:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_SLOW[name]}"), name)
