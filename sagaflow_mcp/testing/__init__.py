"""Testing: the parts that stand in for a model, so that skills are tested offline."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sagaflow_mcp.testing._script import Error, Rule, ToolUse, script

if TYPE_CHECKING:
    from sagaflow_mcp.testing.local import LocalSagaflow
    from sagaflow_mcp.testing.messages_api import OfflineMessagesApi, Outcome, Recorded

__all__ = ["Error", "LocalSagaflow", "OfflineMessagesApi", "Outcome", "Recorded", "Rule", "ToolUse", "script"]

_LATE = {
    "LocalSagaflow": "local",
    "OfflineMessagesApi": "messages_api",
    "Outcome": "messages_api",
    "Recorded": "messages_api",
}
"""Resolved late: `python -m sagaflow_mcp.testing.messages_api` warns where its module has been imported before."""


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATE[name]}"), name)
