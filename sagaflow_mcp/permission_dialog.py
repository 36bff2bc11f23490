"""The dialog of an MCP client in which a person decides whether an agent may make a call.

What is decided comes from the client's own dialog (elicitation), and from no argument that a model could fill in.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

import anyio.to_thread
from mcp.server.mcpserver import AcceptedElicitation, Context, Elicit, ElicitationResult, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, Field

from sagaflow_mcp import answering, guard, records, server_views
from sagaflow_mcp.questions import Question  # noqa: TC001 - the SDK looks it up when it reads annotations
from sagaflow_mcp.settings import Settings

SHOWN = 3_000
"""How much of a call the dialog shows, in characters."""


class Decision(BaseModel):
    """What a person decides."""

    decision: Literal["allow", "allow for this run", "deny"] = Field(
        description="allow this call, allow this tool for the rest of the run, or deny the call"
    )


async def asked(ctx: Context[Any, Any], run_id: str, action: str, question: str = "") -> Question | None:
    """The question that the arguments of `control_run` mean; None for another action than permission.

    Raises:
        ToolError: the run asks for no permission, or the client has no dialogs.
    """
    if action != "permission":
        return None
    with server_views.told():
        settings = await anyio.to_thread.run_sync(Settings.of_user, dict(os.environ), guard.FOR_AGENT)
        found = await answering.permission(settings, run_id, question)
    if not _has_dialogs(ctx):
        raise ToolError(
            f"question {found.id} asks for a permission, which only a person gives, and this client has no dialog "
            f"to ask in: the user can run in a terminal: sagaflow answer {run_id}"
        )
    return found


def decision(run_id: str, about: Annotated[Question | None, Resolve(asked)]) -> Elicit[Decision] | None:
    """What the user is asked about that question."""
    return Elicit(_message(about, run_id), Decision) if about else None


async def brought(settings: Settings, run_id: str, about: Question, decided: ElicitationResult[Decision]) -> str:
    """What came of the dialog, once the run has it.

    Raises:
        Refusal: the question has been decided otherwise, or the run has ended.
        Failure: the engine, Temporal or the run's worker does not answer.
    """
    if not isinstance(decided, AcceptedElicitation):
        return f"the user has decided nothing; question {about.id} stays open"
    await answering.decide(settings, about, decided.data.decision)
    return f"the user has decided question {about.id} of run {run_id}: {decided.data.decision}; the run goes on"


def _has_dialogs(ctx: Context[Any, Any]) -> bool:
    has = ctx.client_capabilities.elicitation if ctx.client_capabilities else None
    return has is not None and (has.form is not None or has.url is None)


def _message(about: Question, run_id: str) -> str:
    shown = records.middle_left_out(about.details, SHOWN)
    more = "" if shown == about.details else f"\n\nMore of it is shown in a terminal: sagaflow answer {run_id}"
    return f"{records.one_line(about.question)} (question {about.id})\n\n{records.for_terminal(shown)}{more}"
