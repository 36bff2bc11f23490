"""The activities that every skill may use.

Paths given to them are confined to the run's folder, whatever the skill passes.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from temporalio import activity
from temporalio.exceptions import ApplicationError

from sagaflow_mcp import artifacts, models, records, structured_output
from sagaflow_mcp.durable import context, notices
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

__all__ = [
    "EmitFindingInput",
    "SpawnSubagentInput",
    "WriteArtifactInput",
    "emit_finding",
    "spawn_subagent",
    "write_artifact",
]

HEARTBEAT_INTERVAL = timedelta(seconds=2)
"""How often a model call reports that it is alive; well under half its heartbeat timeout of 12 s."""

NO_CREDENTIALS_DELAY = timedelta(seconds=5)
"""How long a model call waits before it looks again for credentials that a restart has lost."""

SESSIONS = uuid.UUID("6f1f3c5a-5d0e-5f7e-9d39-0c6c1f0f9b52")
"""The namespace of the session ids that are made from a run and a step."""

WITHOUT_CREDENTIALS = "no model credentials since everything was restarted; the next launch with a key brings them"
"""Why a run is paused when whoever held its credentials was killed."""


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
    with _refusals_end_the_step():
        path = await asyncio.to_thread(step.path_here, given.path)
        written = await asyncio.to_thread(artifacts.write, Path(step.run_dir), path, given.content)
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
        await asyncio.to_thread(artifacts.stage_ending, Path(step.run_dir), status, summary)
        return
    # From the step's key, so that a repeated attempt delivers the same entry and not a second one.
    entry = _entry(step, hashlib.sha256(step.key.encode()).hexdigest()[:12], status, summary)
    await asyncio.to_thread(notices.tell, step.services, entry, show=given.notify)


def _entry(step: context.StepContext, tail: str, status: str, summary: str) -> records.Entry:
    return records.Entry(
        entry_id=f"{step.run_id}~{tail}",
        run_id=step.run_id,
        skill=step.skill,
        status=status,
        summary=summary,
        created_at=records.now(),
        report_path="",
        project_dir=step.project_dir,
    )


@activity.defn
async def spawn_subagent(given: SpawnSubagentInput) -> dict[str, str]:
    """The fields of the model's structured block; `{"RESPONSE": text}` where the reply has none.

    Raises:
        ApplicationError: the provider failed; retryable or not, as `models.verdict` says.
    """
    step = context.current()
    with _refusals_end_the_step():
        if given.tools_needed:
            raise Refusal(
                f"subagent {given.role!r} asks for tools_needed=True, but spawn_subagent makes one plain model call"
            )
        request = models.ModelRequest(
            tier=given.tier_name,
            system=given.system_prompt,
            user=await asyncio.to_thread(_prompt, step, given.user_prompt_path),
            max_tokens=given.max_tokens,
            session=str(uuid.uuid5(SESSIONS, f"{step.run_id}/{step.key}")),
            folder=step.run_dir,
        )
    reply = await _complete(step, request)
    step.replies.append(reply)
    _check_whole(given, reply)
    parsed = structured_output.parse(reply.text)
    if not parsed.has_block:
        step.warnings.append(f"the reply to {given.role!r} has no structured block; all of it is the field RESPONSE")
    return parsed.fields


def _prompt(step: context.StepContext, path: str) -> str:
    return artifacts.read(Path(step.run_dir), step.path_here(path))


def _check_whole(given: SpawnSubagentInput, reply: models.ModelReply) -> None:
    """Return when the model said all that it had to say; half an answer is never taken for one."""
    if reply.stop_reason == "max_tokens" and structured_output.END not in reply.text:
        raise ApplicationError(
            f"the reply to {given.role!r} was cut off at max_tokens={given.max_tokens}; give it more",
            type="CutOff",
            non_retryable=True,
        )
    if reply.stop_reason == "refusal":
        raise ApplicationError(f"the model declined to answer {given.role!r}", type="Declined", non_retryable=True)


async def _complete(step: context.StepContext, request: models.ModelRequest) -> models.ModelReply:
    credentials = step.services.credentials.of(step.run_id)
    if not credentials:
        await asyncio.to_thread(_tell_of_missing_credentials, step)
        raise ApplicationError(WITHOUT_CREDENTIALS, type=context.NO_CREDENTIALS, next_retry_delay=NO_CREDENTIALS_DELAY)
    try:
        async with _heartbeats():
            return await step.services.transport.complete(request, credentials=credentials)
    except Exception as error:  # noqa: BLE001 - the verdict is the one place that knows what it may be
        verdict = models.verdict(error)
        raise ApplicationError(
            verdict.sentence,
            type=verdict.type,
            non_retryable=not verdict.retryable,
            next_retry_delay=verdict.retry_after,
        ) from None  # Not `from error`: its text is the provider's, and may quote what was sent.


def _tell_of_missing_credentials(step: context.StepContext) -> None:
    notices.tell(step.services, _entry(step, "nocredentials", "PAUSED", WITHOUT_CREDENTIALS), show=True)


@contextlib.asynccontextmanager
async def _heartbeats() -> AsyncIterator[None]:
    """Heartbeat while the body runs; they are also how a cancellation reaches it."""

    async def beat() -> None:
        while True:
            activity.heartbeat()
            await asyncio.sleep(HEARTBEAT_INTERVAL.total_seconds())

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.contextmanager
def _refusals_end_the_step() -> Iterator[None]:
    """Turn a refusal into an error that is not retried: the same input would be refused again.

    Without its cause: of a failure's causes the innermost one is shown as its reason.
    """
    try:
        yield
    except Refusal as error:
        raise ApplicationError(str(error), type="Refused", non_retryable=True) from None
