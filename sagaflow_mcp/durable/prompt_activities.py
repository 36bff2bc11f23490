"""The activities by which a function's prompts are put to a model: one by one, or in batches."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from dataclasses import dataclass
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from sagaflow_mcp import models
from sagaflow_mcp.durable import context, journal, model_calls
from sagaflow_mcp.durable.step_record import StepRecord

BATCH_SECONDS = 0.5
"""How long a batch of prompts waits for a reply."""


@dataclass(frozen=True)
class PromptInput:
    """One model call, with the prompts' whole text."""

    role: str
    tier: str
    system: str
    user: str
    max_tokens: int
    schema: dict[str, Any] | None = None
    """Of the JSON object to reply with; None for a text."""
    key: str = ""
    """Tells this prompt from every other of its workflow, in whichever step it is asked."""


@dataclass(frozen=True)
class PromptReply:
    """What came of it."""

    text: str
    seconds: float | None = None
    """How long the model took; None where it is not to count."""


@dataclass(frozen=True)
class PromptsInput:
    """Prompts that are asked at the same moment."""

    prompts: list[PromptInput]

    @property
    def role(self) -> str:
        """What the step is called in progress and transcript."""
        return self.prompts[0].role


@activity.defn
async def prompt_model(given: PromptInput) -> PromptReply:
    """The model's reply.

    Raises:
        ApplicationError: the provider failed; retryable or not, as `models.verdict` says.
    """
    step = context.current()
    began = time.monotonic()
    with context.refusals_end_the_step():
        reply = await model_calls.complete(step, given.role, _request(given), step.services.calls.take(_of(given)))
    return PromptReply(reply.text, round(time.monotonic() - began, 3) if step.services.batches else None)


@activity.defn
async def prompt_batch(given: PromptsInput) -> list[str | None]:
    """The text of each reply that came at once; None for the others, which `prompt_model` takes over."""
    step = context.current()
    return list(await asyncio.gather(*(_at_once(step, each) for each in given.prompts)))


async def _at_once(step: context.StepContext, given: PromptInput) -> str | None:
    of = _of(given)
    own = dataclasses.replace(step, key=journal.prompt_key(step.scope, given.key), replies=[], warnings=[])
    record = StepRecord(own, given.role)
    await record.inherit()
    sealed = await asyncio.to_thread(record.served)
    if sealed is not None:
        found: PromptReply = await record.opened(sealed, PromptReply)
        return found.text
    request = _request(given)
    call = step.services.calls.begin(of, model_calls.asked(own, request))
    try:
        reply = await asyncio.wait_for(asyncio.shield(call), BATCH_SECONDS)
        model_calls.check_whole(given.role, request, reply)
    except (TimeoutError, ApplicationError):
        return None
    own.replies.append(reply)
    await asyncio.to_thread(record.keep, await record.sealed(PromptReply(reply.text)))
    # Not sooner: where the reply cannot be kept, `prompt_model` finds it here.
    step.services.calls.take(of)
    return reply.text


def _of(given: PromptInput) -> tuple[str, str]:
    """The workflow and the prompt in it."""
    return activity.info().workflow_id or "", given.key


def _request(given: PromptInput) -> models.ModelRequest:
    return models.ModelRequest(
        tier=given.tier, system=given.system, user=given.user, max_tokens=given.max_tokens, schema=given.schema
    )
