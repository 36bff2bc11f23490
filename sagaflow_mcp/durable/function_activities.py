"""The activities behind `ctx`."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import importlib
import inspect
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from sagaflow_mcp import artifacts, inbox, models, questions, records
from sagaflow_mcp.durable import context, model_calls, notices
from sagaflow_mcp.durable.step_record import StepRecord
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.typed import as_json, as_type, hints

if TYPE_CHECKING:
    from collections.abc import Callable


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


@dataclass(frozen=True)
class RunFunctionInput:
    """A function of the skill, or of a module that it imports, and its arguments."""

    role: str
    """What the step is called in progress and transcript."""
    function: str
    """`module:name`."""
    args: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class NoteProgressInput:
    """How far the run has come."""

    phase: str = ""
    done: int = 0
    total: int = 0
    note: str = ""


@dataclass(frozen=True)
class PutQuestionInput:
    """A question to a person."""

    id: str
    question: str
    options: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class CloseQuestionInput:
    """A question that needs no answer any more."""

    id: str


@dataclass(frozen=True)
class PrepareChildInput:
    """A skill to start as a child, and its arguments."""

    skill: str
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def role(self) -> str:
        """What the step is called in progress and transcript."""
        return f"child {self.skill}"


@dataclass(frozen=True)
class PreparedChild:
    """What a child workflow is started with."""

    skill: str
    digest: str
    workflow_type: str
    task_queue: str
    arguments: dict[str, Any]
    """With the types of its schema."""
    run_dir: str
    """The folder of the run that it belongs to."""


BATCH_SECONDS = 0.5
"""How long a batch of prompts waits for a reply."""


def reference(function: Callable[..., Any]) -> str:
    """How `function` is found again in another process; Refusal when it cannot be."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "<lambda>")
    if not module or "<" in name:
        raise Refusal(
            f"ctx.step was given {name}; it takes a function at the top of a module, with its arguments after it"
        )
    return f"{module}:{name}"


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
    key = f"prompt-{hashlib.sha256(repr(of).encode()).hexdigest()[:32]}"
    own = dataclasses.replace(step, key=key, replies=[], warnings=[])
    record = StepRecord(own, given.role)
    sealed = await asyncio.to_thread(record.served)
    if sealed is not None:
        return str(await record.opened(sealed, str))
    request = _request(given)
    call = step.services.calls.begin(of, model_calls.asked(own, request))
    try:
        reply = await asyncio.wait_for(asyncio.shield(call), BATCH_SECONDS)
        model_calls.check_whole(given.role, request, reply)
    except (TimeoutError, ApplicationError):
        return None
    own.replies.append(reply)
    await asyncio.to_thread(record.keep, await record.sealed(reply.text))
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


@activity.defn
async def run_function(given: RunFunctionInput) -> Any:
    """What the function returns, as JSON holds it."""
    with context.refusals_end_the_step():
        function, args = _resolved(given)
        if inspect.iscoroutinefunction(function):
            result = await function(*args)
        else:
            result = await asyncio.to_thread(function, *args)
        return as_json(f"step {given.role!r} returned", result)


def _resolved(given: RunFunctionInput) -> tuple[Callable[..., Any], list[Any]]:
    """The function and its arguments, each of the type that it declares."""
    module, _, name = given.function.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    try:
        parameters = list(inspect.signature(found).parameters)
    except ValueError:  # Some functions written in C do not say.
        return found, given.args
    types = hints(found, parameters)
    names = [*parameters, *[""] * len(given.args)]
    return found, [as_type(types.get(name), value) for name, value in zip(names, given.args, strict=False)]


@activity.defn
async def prepare_child(given: PrepareChildInput) -> PreparedChild:
    """A skill as a worker is ready to run it."""
    step = context.current()
    with context.refusals_end_the_step():
        if step.services.child is None:
            raise Refusal("skills cannot be started as children here")
        ready = await step.services.child(step, given.skill, given.arguments)
        return PreparedChild(
            ready.skill, ready.digest, ready.workflow_type, ready.task_queue, ready.arguments, step.run_dir
        )


@activity.defn
async def note_progress(given: NoteProgressInput) -> None:
    """Write down how far the run has come; what is written last holds."""
    step = context.current()
    about = dataclasses.asdict(given) | {"at": records.now()}
    await asyncio.to_thread(artifacts.write_json, Path(step.run_dir) / artifacts.PROGRESS, about)


@activity.defn
async def put_question(given: PutQuestionInput) -> None:
    """Show a question: as an entry in the inbox, and in what is told of the run."""
    step = context.current()
    asked = questions.Question(
        given.id,
        records.one_line(given.question),
        tuple(given.options),
        activity.info().workflow_id or "",
        records.now(),
    )
    await asyncio.to_thread(questions.put, Path(step.run_dir), asked)
    entry = notices.entry(step, given.id, "NEEDS_INPUT", questions.summary(asked))
    await asyncio.to_thread(notices.tell, step.services, entry, show=True)


@activity.defn
async def close_question(given: CloseQuestionInput) -> None:
    """Show it no more: it was answered, or nobody waits any longer."""
    step = context.current()
    await asyncio.to_thread(questions.remove, Path(step.run_dir), given.id)
    if not step.services.joined:
        await asyncio.to_thread(inbox.close, step.services.home, f"{step.run_id}~{given.id}")
