"""The activities that every skill may use.

Paths given to them are confined to the run's folder, whatever the skill passes.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path

from temporalio import activity
from temporalio.exceptions import ApplicationError

from sagaflow_mcp import artifacts, models, records, structured_output
from sagaflow_mcp.durable import context, model_calls, notices
from sagaflow_mcp.errors import Refusal

__all__ = [
    "EmitFindingInput",
    "SpawnSubagentInput",
    "WriteArtifactInput",
    "emit_finding",
    "spawn_subagent",
    "write_artifact",
]


@dataclass(frozen=True)
class WriteArtifactInput:
    """A text file to write into the run's folder."""

    path: str
    """Relative to the run's folder, or an absolute path inside it."""
    content: str


@dataclass(frozen=True)
class SpawnSubagentInput:
    """One model call."""

    role: str
    """What the step is called in progress and transcript."""
    tier_name: str
    """`HAIKU`, `SONNET` or `OPUS`."""
    system_prompt: str
    user_prompt_path: str
    """A file in the run's folder that holds the user prompt."""
    max_tokens: int = 4096
    tools_needed: bool = False
    """Must be false: a subagent with tools is an agent, not one call."""


@dataclass(frozen=True)
class EmitFindingInput:
    """A line for the inbox."""

    inbox_path: str
    """Accepted and ignored: there is one inbox."""
    run_id: str
    skill: str
    status: str
    """An ending's status (`DONE`, `FAILED`, …) sets the summary of the run's ending; any other is delivered at once."""
    summary: str
    timestamp_iso: str
    notify: bool = True
    """Whether an entry delivered at once also shows as a desktop notification."""


@activity.defn
async def write_artifact(given: WriteArtifactInput) -> str:
    """The path of the file written, atomically; the run fails when it lies outside the run's folder."""
    step = context.current()
    with context.refusals_end_the_step():
        path = await asyncio.to_thread(step.path_here, given.path)
        written = await asyncio.to_thread(artifacts.write, step.files, path, given.content)
        return await asyncio.to_thread(step.path_for_all, written)


@activity.defn
async def emit_finding(given: EmitFindingInput) -> None:
    """Stage the summary of the run's ending, or deliver an entry at once; the run fails on an unknown status."""
    step = context.current()
    status = given.status.upper()
    if status not in records.STATUSES:
        known = ", ".join(sorted(records.STATUSES))
        raise ApplicationError(f"status {given.status!r} is not one of {known}", non_retryable=True)
    summary = records.one_line(given.summary)
    if status in records.ENDINGS:
        if step.folder:
            return  # A child's ending is not its run's.
        await asyncio.to_thread(artifacts.stage_ending, Path(step.run_dir), status, summary)
        return
    # From the step's key, so that a repeated attempt delivers the same entry and not a second one.
    entry = notices.entry(step, hashlib.sha256(step.key.encode()).hexdigest()[:12], status, summary)
    await asyncio.to_thread(notices.tell, step.services, entry, show=given.notify)


@activity.defn
async def spawn_subagent(given: SpawnSubagentInput) -> dict[str, str]:
    """The fields of the model's structured block; `{"RESPONSE": text}` where the reply has none.

    Raises:
        ApplicationError: the provider failed; retryable or not, as `models.verdict` says.
    """
    step = context.current()
    with context.refusals_end_the_step():
        if given.tools_needed:
            raise Refusal(
                f"subagent {given.role!r} asks for tools_needed=True, but spawn_subagent makes one plain model call"
            )
        request = models.ModelRequest(
            tier=given.tier_name,
            system=given.system_prompt,
            user=await asyncio.to_thread(_prompt, step, given.user_prompt_path),
            max_tokens=given.max_tokens,
        )
    reply = await model_calls.complete(step, given.role, request)
    parsed = structured_output.parse(reply.text)
    if not parsed.has_block:
        step.warnings.append(f"the reply to {given.role!r} has no structured block; all of it is the field RESPONSE")
    return parsed.fields


def _prompt(step: context.StepContext, path: str) -> str:
    return artifacts.read(step.files, step.path_here(path))
