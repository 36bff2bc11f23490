"""Durable agent workflows for Claude Code: they outlive the session, survive every crash and report to an inbox.

Authors of skills import from here: `skill` and, for types and errors, `Context`, `PartialFailureError` and
`StepFailedError`.
"""

from __future__ import annotations

TYPE_CHECKING = False  # As in `typing`, which would take hook and launcher longer to import than all of their own.
if TYPE_CHECKING:
    from typing import Any

    from sagaflow_mcp.durable.ctx import Context
    from sagaflow_mcp.durable.functions import skill
    from sagaflow_mcp.durable.lanes import PartialFailureError
    from sagaflow_mcp.durable.memory import StepFailedError

__version__ = "0.1.0"

__all__ = ["Context", "PartialFailureError", "StepFailedError", "__version__", "skill"]

_AUTHORING = {"Context": "ctx", "PartialFailureError": "lanes", "StepFailedError": "memory", "skill": "functions"}
"""In which module of `durable` each is: they need Temporal, which hook and launcher must not pay for."""


def __getattr__(name: str) -> Any:
    if name not in _AUTHORING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - as above

    return getattr(importlib.import_module(f"{__name__}.durable.{_AUTHORING[name]}"), name)
