"""The answers of the MCP server: runs and entries as an agent reads them, and what went wrong as one sentence."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mcp.server.mcpserver.exceptions import ResourceError, ToolError
from pydantic import BaseModel

from sagaflow_mcp import argument_schema, records, run_words, wording
from sagaflow_mcp.errors import SagaflowError
from sagaflow_mcp.faces import MCP

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import ValidationError

    from sagaflow_mcp.run_details import RunDetails
    from sagaflow_mcp.runs import Run

LINES = 10
"""Of the transcript and the log of a run."""

DETAIL_LIMIT = 8_000
"""Characters about a run; a conversation has better things to hold."""

logger = logging.getLogger(__name__)


class RunView(BaseModel):
    """A run, as far as an agent needs it."""

    run_id: str
    state: str
    detail: str
    report: str = ""


class InboxEntry(BaseModel):
    """An inbox entry, every text made harmless."""

    run_id: str
    skill: str
    status: str
    summary: str
    created_at: str
    report: str
    project: str


class Inbox(BaseModel):
    """The inbox, newest first."""

    unread: int
    entries: list[InboxEntry]


def untitled(schema: Any) -> Any:
    """`schema` without the titles in it."""
    if isinstance(schema, list):
        return [untitled(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {name: untitled(value) for name, value in schema.items() if not (name == "title" and isinstance(value, str))}


def of_run(run: Run, allowed_tools: Sequence[str] | None = None) -> RunView:
    """`run` as an agent reads it, with what its agents use without asking where that is given."""
    detail = wording.detail(run)
    if allowed_tools is not None and run.is_open:
        detail = f"{wording.rights(allowed_tools)}; {detail}"
    return RunView(run_id=run.run_id, state=run.state, detail=detail, report=run.report_path)


def of_details(found: RunDetails) -> RunView:
    """A run as an agent reads it, with its steps, files and the ends of its transcript and log."""
    detail = records.block("\n".join(run_words.sheet(found, LINES, MCP)), DETAIL_LIMIT)
    return RunView(run_id=found.run.run_id, state=found.run.state, detail=detail, report=found.run.report_path)


def of_entry(entry: records.Entry) -> InboxEntry:
    """`entry` as an agent reads it."""
    return InboxEntry(
        run_id=entry.run_id,
        skill=records.one_line(entry.skill, 64),
        status=entry.status,
        summary=records.one_line(entry.summary),
        created_at=entry.created_at,
        report=records.one_line(entry.report_path, 500),
        project=records.one_line(entry.project_dir, 500),
    )


@contextmanager
def told(kind: type[ToolError | ResourceError] = ToolError) -> Iterator[None]:
    """Show our own errors as one sentence, and a bug as one without its trace, which goes to the log."""
    try:
        yield
    except SagaflowError as error:
        raise kind(records.one_line(wording.for_agent(str(error)), records.SENTENCE_LIMIT)) from error
    except (ToolError, ResourceError):
        raise
    except Exception as error:
        logger.exception("a request failed")
        raise kind(
            f"Sagaflow has a bug ({type(error).__name__}); the trace is in the server's log; please report it"
        ) from error


def complaint(error: ValidationError) -> str:
    """The first thing that is wrong with the arguments of a tool."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"argument {name!r} is missing"
    reason = first["msg"][0].lower() + first["msg"][1:]
    return records.one_line(f"argument {name!r} is {argument_schema.shown(first['input'])}: {reason}")
