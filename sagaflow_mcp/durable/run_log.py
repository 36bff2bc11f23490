"""The log of each run: what its workflow code and its steps say through Python's `logging`, in a file of the run."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from sagaflow_mcp import artifacts, paths, records
from sagaflow_mcp.durable import context

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home

SIZE_LIMIT = 1 << 20
"""Bytes of a log; of a longer one the older half goes."""

RECORD_LIMIT = 8_000
"""Characters of one record that are kept."""

OF_SKILLS = ("temporalio.workflow", "temporalio.activity")
"""Loggers of Temporal's that are there for the code of skills."""

OF_MACHINERY = ("sagaflow_mcp", "temporalio")
"""Loggers whose records are about runs and not from them."""

CHATTY = ("anthropic", "asyncio", "httpcore2", "httpx2", "mcp")
"""Loggers of what we use ourselves in the middle of steps; their warnings may still matter."""

FAILURE = "__temporal_error_identifier"
"""What Temporal puts into a record about a failure, which the transcript has too."""

DROPPED = "(older lines were dropped)\n"


class _Place(NamedTuple):
    """Where in a run something is logged."""

    run_id: str
    label: str


class RunLog(logging.Handler):
    """Writes what a run logs into the run's folder below `home`; everything else is none of its business."""

    def __init__(self, home: Home) -> None:
        super().__init__(logging.INFO)
        self._home = home
        self.addFilter(_is_from_a_run)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record down, unless a replay says it again or it cannot be written: nothing fails for a log."""
        try:
            place = _place()
            if place is None:
                return
            with workflow.unsafe.sandbox_unrestricted() if workflow.in_workflow() else contextlib.nullcontext():
                _append(Path(self._home.run(place.run_id)), self._told(record, place))
        except OSError:
            pass  # The disk is full, say.
        except Exception:  # noqa: BLE001 - as every handler of logging does: a record may have any argument
            self.handleError(record)

    def _told(self, record: logging.LogRecord, place: _Place) -> str:
        text = record.getMessage()
        if hasattr(record, "temporal_workflow") or hasattr(record, "temporal_activity"):
            text = _without_details(text)
        if record.exc_info:
            text += "\n" + (self.formatter or logging.Formatter()).formatException(record.exc_info)
        head, *more = records.for_terminal(text[:RECORD_LIMIT]).split("\n")
        when = f"{records.moment(record.created)[:-1]}.{int(record.msecs):03d}Z"
        lines = [f"{when} {record.levelname} {records.one_line(place.label, 80)}: {head}"]
        # Indented, so that no record can look like several.
        return "\n".join([*lines, *(f"    {line}" for line in more)]) + "\n"


def _is_from_a_run(record: logging.LogRecord) -> bool:
    top = record.name.partition(".")[0]
    if hasattr(record, FAILURE) or (top in OF_MACHINERY and record.name not in OF_SKILLS):
        return False
    return top not in CHATTY or record.levelno >= logging.WARNING


def _place() -> _Place | None:
    """Where the caller works; None outside a run, and where a replay does again what was done before."""
    if workflow.in_workflow():
        if workflow.unsafe.is_replaying():
            return None
        info = workflow.info()
        run_id = info.root.workflow_id if info.root else info.workflow_id
        return _Place(run_id, "workflow") if records.is_run_id(run_id) else None
    try:
        step = context.current()
    except ApplicationError:
        return None
    return _Place(step.run_id, step.label or "step")


def _without_details(text: str) -> str:
    """A message without what Temporal appends to it, of which the run's files tell more."""
    return text.rpartition(" ({'")[0] or text if text.endswith("})") else text


def _append(run_dir: Path, text: str) -> None:
    path = run_dir / artifacts.LOG
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, text.encode("utf-8", "replace"))
        size = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    if size > SIZE_LIMIT:
        _shorten(path)


def _shorten(path: Path) -> None:
    kept = path.read_bytes()[-SIZE_LIMIT // 2 :].partition(b"\n")[2]
    paths.write_atomically(str(path), DROPPED.encode() + kept, durable=False)
