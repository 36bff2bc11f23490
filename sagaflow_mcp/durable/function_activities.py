"""The activities behind `ctx`."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temporalio import activity

from sagaflow_mcp import artifacts, inbox, questions, records
from sagaflow_mcp.durable import context, notices
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.typed import as_json, as_type, hints

if TYPE_CHECKING:
    from collections.abc import Callable


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
    number: int = 0
    """How often the run had said how far it is, this time included: what comes late is told from what is new by it."""


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
class IsRetriedInput:
    """One of a run's executions."""

    link: int
    """Which, from 0."""


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


def reference(function: Callable[..., Any]) -> str:
    """How `function` is found again in another process; Refusal when it cannot be."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "<lambda>")
    if not module or "<" in name:
        raise Refusal(
            f"ctx.step was given {name}; it takes a function at the top of a module, with its arguments after it"
        )
    return f"{module}:{name}"


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
    execution = activity.info().workflow_run_id or ""
    await asyncio.to_thread(put_progress, Path(context.current().run_dir), given, execution)


def put_progress(run_dir: Path, given: NoteProgressInput, execution: str, *, is_lasting: bool = True) -> None:
    """Write down `given`, unless something later of the same Temporal execution is there already.

    Raises:
        OSError: it cannot be written.
    """
    path = run_dir / artifacts.PROGRESS
    before = artifacts.read_json(path) or {}
    number = before.get("number")
    if before.get("execution") == execution and isinstance(number, int) and number > given.number:
        return
    now = records.now()
    is_same = before.get("phase") == given.phase
    since = str(before.get("since", now)) if is_same else now
    about = dataclasses.asdict(given) | {"at": now, "since": since, "execution": execution}
    artifacts.write_json(path, about, durable=is_lasting)
    if not is_same:
        artifacts.note_event(run_dir, "phase_began", label=given.phase)


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


@activity.defn
async def is_retried(given: IsRetriedInput) -> bool:
    """Whether a person has had the run go on from the beginning of that execution."""
    about = await asyncio.to_thread(artifacts.read_json, Path(context.current().run_dir) / artifacts.RETRIED)
    return about is not None and about.get("link") == given.link
