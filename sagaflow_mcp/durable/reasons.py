"""Why a run did not complete: in a sentence, and as a traceback through the author's own files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from temporalio.exceptions import ApplicationError, FailureError
from temporalio.exceptions import TimeoutError as WorkflowTimeout

from sagaflow_mcp import records
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_FRAMES = 20
"""How many frames of a traceback are shown, the innermost ones."""

_FRAME = re.compile(r'^(?=  File ")', re.MULTILINE)
"""Where a frame begins in what Temporal keeps of a traceback."""


def sentence(cause: BaseException) -> str:
    """The innermost reason of a failure, in one line; what a refusal came from is not, as it says that better."""
    if isinstance(cause, WorkflowTimeout):
        return "the run took longer than its execution timeout"
    for cause in _causes(cause):  # noqa: B020, PLR1704 - the last one is wanted
        if isinstance(cause, ApplicationError) and cause.type == Refusal.__name__:
            break
    text = cause.message if isinstance(cause, FailureError) else str(cause)
    kind = (cause.type or "") if isinstance(cause, ApplicationError) else ""
    python_error = kind.endswith(("Error", "Exception", "Exit", "Group")) and kind not in text
    return records.one_line(f"{kind}: {text}" if python_error else text or type(cause).__name__)


def traceback(cause: BaseException, folder: Path) -> str:
    """The traceback of a failure from the first of its frames in `folder`; empty when it has none there.

    Of several causes it is the innermost one's that came through the folder.
    """
    for each in reversed(list(_causes(cause))):
        trace = each.failure.stack_trace if isinstance(each, FailureError) and each.failure else ""
        frames = [frame.rstrip("\n") for frame in _FRAME.split(trace) if frame.strip()]
        own = [number for number, frame in enumerate(frames) if frame.startswith(f'  File "{folder}/')]
        if own:
            return "\n".join(["Traceback (most recent call last):", *frames[own[0] :][-MOST_FRAMES:]])
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error`, what it came from, and so on."""
    yield error
    while isinstance(error, FailureError) and error.cause is not None:
        error = error.cause
        yield error
