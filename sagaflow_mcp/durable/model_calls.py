"""Model calls of steps: they report that they are alive, stop when cancelled, and count only when whole."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dataclasses
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity
from temporalio.exceptions import ApplicationError

from sagaflow_mcp import models, structured_output
from sagaflow_mcp.durable import context, notices

if TYPE_CHECKING:
    from collections.abc import Iterator

HEARTBEAT_INTERVAL = timedelta(seconds=2)
"""How often a model call reports that it is alive; well under half its heartbeat timeout of 12 s."""

NO_CREDENTIALS_DELAY = timedelta(seconds=5)
"""How long a model call waits before it looks again for credentials that a restart has lost."""

LOOK_SECONDS = 0.05
"""Between two looks at whether the engine has told which credentials it holds."""

SESSIONS = uuid.UUID("6f1f3c5a-5d0e-5f7e-9d39-0c6c1f0f9b52")
"""The namespace of the session ids that are made from a run and a step or a conversation."""

WITHOUT_CREDENTIALS = "no model credentials since everything was restarted; the next launch with a key brings them"
"""Why a run is paused when whoever held its credentials was killed."""


async def complete(
    step: context.StepContext,
    role: str,
    request: models.ModelRequest,
    begun: asyncio.Task[models.ModelReply] | None = None,
    *,
    may_be_cut_off: bool = False,
) -> models.ModelReply:
    """The model's whole reply to the request of a step that is called `role`; its tokens are the step's.

    Args:
        step: that asks.
        role: what it is called.
        request: what it asks.
        begun: the call, where it was begun already.
        may_be_cut_off: whether a reply that ends at `max_tokens` will do.

    Raises:
        ApplicationError: the provider failed, retryable or not as `models.verdict` says, or the reply is not whole.
    """
    with heartbeats():
        reply = await (begun or asked(step, request))
    step.replies.append(reply)  # Before it is looked at: it was paid for.
    if not (may_be_cut_off and reply.stop_reason == "max_tokens"):
        check_whole(role, request, reply)
    return reply


def check_whole(role: str, request: models.ModelRequest, reply: models.ModelReply) -> None:
    """Return when the model said all that it had to say; half an answer is never taken for one.

    Raises:
        ApplicationError: it was cut off, or declined.
    """
    if reply.stop_reason == "max_tokens" and structured_output.END not in reply.text:
        raise ApplicationError(
            f"the reply to {role!r} was cut off at max_tokens={request.max_tokens}; give it more",
            type="CutOff",
            non_retryable=True,
        )
    if reply.stop_reason == "model_context_window_exceeded" and structured_output.END not in reply.text:
        raise ApplicationError(
            f"the reply to {role!r} was cut off: the conversation is longer than the model can hold; ask for less",
            type="CutOff",
            non_retryable=True,
        )
    if reply.stop_reason == "refusal":
        raise ApplicationError(f"the model declined to answer {role!r}", type="Declined", non_retryable=True)


async def asked(step: context.StepContext, request: models.ModelRequest) -> models.ModelReply:
    """The model's reply, whole or not, without a heartbeat.

    Raises:
        ApplicationError: the provider failed, retryable or not as `models.verdict` says.
    """
    request = dataclasses.replace(request, session=request.session or session(step, step.key), folder=step.run_dir)
    held = step.services.credentials
    while not held.is_settled(step.run_id):  # noqa: ASYNC110 - a thing of the engine's link, which knows no loop
        await asyncio.sleep(LOOK_SECONDS)
    credentials = held.of(step.run_id)
    if not credentials:
        await asyncio.to_thread(_tell_of_missing_credentials, step)
        raise ApplicationError(WITHOUT_CREDENTIALS, type=context.NO_CREDENTIALS, next_retry_delay=NO_CREDENTIALS_DELAY)
    try:
        async with step.services.calls.slots:
            step.refuse_if_paused()  # It may have been for as long as the call had to wait.
            return await step.services.transport.complete(request, credentials=credentials)
    except ApplicationError:
        raise
    except Exception as error:  # noqa: BLE001 - the verdict is the one place that knows what it may be
        verdict = models.verdict(error)
        raise ApplicationError(
            verdict.sentence,
            type=verdict.type,
            non_retryable=not verdict.retryable,
            next_retry_delay=verdict.retry_after,
        ) from None  # Not `from error`: its text is the provider's, and may quote what was sent.


def session(step: context.StepContext, name: str) -> str:
    """The id of a transport's session for what `name` stands for in the step's run, in each attempt the same."""
    return str(uuid.uuid5(SESSIONS, f"{step.run_id}/{name}"))


def _tell_of_missing_credentials(step: context.StepContext) -> None:
    notices.tell(step.services, notices.entry(step, "nocredentials", "PAUSED", WITHOUT_CREDENTIALS), show=True)


def _beat_from_thread() -> None:
    with contextlib.suppress(RuntimeError, TimeoutError):  # The step has ended meanwhile, or the loop is busy.
        activity.heartbeat()


@contextlib.contextmanager
def heartbeats(*, in_thread: bool = False) -> Iterator[None]:
    """Heartbeat while the body runs; they are also how a cancellation reaches it.

    Args:
        in_thread: whether the step itself runs in a thread: to it, the SDK's heartbeat waits for this event loop.
    """
    timer: asyncio.TimerHandle

    def wait() -> None:
        # Not at once: it would be a request to the server for each call, also for those that are over by then.
        nonlocal timer
        timer = asyncio.get_running_loop().call_later(HEARTBEAT_INTERVAL.total_seconds(), beat)

    def beat() -> None:
        if in_thread:
            loop = asyncio.get_running_loop()
            loop.run_in_executor(None, contextvars.copy_context().run, _beat_from_thread)
        else:
            activity.heartbeat()
        wait()

    wait()
    try:
        yield
    finally:
        timer.cancel()
