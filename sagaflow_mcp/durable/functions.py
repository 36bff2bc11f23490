"""Skills that are one function: `@skill(name)` makes a workflow, its arguments and its registration of it."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, create_model
from pydantic.errors import PydanticUserError
from temporalio import workflow

from sagaflow_mcp import agent_tools, docstrings, records
from sagaflow_mcp.durable import (
    activities,
    agent_activities,
    function_activities,
    mcp_activities,
    permit_activities,
    prompt_activities,
    run_state,
)
from sagaflow_mcp.durable.ctx import Context
from sagaflow_mcp.durable.function_activities import IsRetriedInput
from sagaflow_mcp.durable.memory import Memory
from sagaflow_mcp.durable.progress_notes import ProgressNotes
from sagaflow_mcp.durable.prompting import Reply
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.registry import SkillRegistry, SkillSpec
from sagaflow_mcp.typed import hints

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from pydantic import BaseModel

AGENT_NAMES = frozenset({"agent", "instructed"})
"""What stands in the code of a function that has an agent: `ctx.agent`, or the module that runs a SKILL.md."""

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

RETRIES = "sagaflow-retries"
"""The change by which an execution asks whether what failed before it is to be tried again."""

LOOK_TIMEOUT = timedelta(seconds=30)
"""How long it may take to find that out."""

P = ParamSpec("P")
T = TypeVar("T")

ACTIVITIES = (
    activities.write_artifact,
    activities.emit_finding,
    function_activities.run_function,
    function_activities.prepare_child,
    function_activities.note_progress,
    function_activities.put_question,
    function_activities.close_question,
    function_activities.is_retried,
    agent_activities.use_tool,
    permit_activities.ask_permission,
    mcp_activities.list_mcp_tools,
)
"""What any of these workflows may run."""


@dataclass(frozen=True)
class FunctionInput:
    """What a workflow made of a function is started with, and goes on with when it continues as new."""

    arguments: dict[str, Any]
    """The function's arguments as JSON holds them."""
    memory: dict[str, Any] = field(default_factory=dict)
    """What executions before this one have done."""


def skill(
    name: str, *, allowed_tools: Iterable[str] = ()
) -> Callable[[Callable[P, Awaitable[T]]], FunctionSkill[P, T]]:
    """Make a skill of an `async` function whose first parameter is the `Context`; the others are its arguments.

    Args:
        name: the name of the skill's folder.
        allowed_tools: the tools that its agents use without asking a person, beyond those that only read files.

    Raises:
        Refusal: the function cannot be one: it is not `async`, has no `ctx`, or a parameter that takes no name.
    """

    def decorate(function: Callable[P, Awaitable[T]]) -> FunctionSkill[P, T]:
        """The skill that `function` is."""
        return FunctionSkill(name, function, tuple(allowed_tools))

    return decorate


class FunctionSkill(Generic[P, T]):
    """A skill that is one function; called, it is that function."""

    def __init__(self, name: str, function: Callable[P, Awaitable[T]], allowed_tools: tuple[str, ...] = ()) -> None:
        self.name = name
        self.function = function
        self.allowed_tools = agent_tools.declared(allowed_tools)
        self._parameters = _parameters(function)
        self.workflow_cls = _workflow_class(name, function, allowed_tools)
        # Temporal's sandbox looks a workflow class up in its module, and so does the search for children.
        function.__globals__[self.workflow_cls.__name__] = self.workflow_cls

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
        """Call the function itself, as another skill function may."""
        return self.function(*args, **kwargs)

    def register(self, registry: SkillRegistry) -> None:
        """Declare the skill, as a `register(registry)` of one's own does."""
        registry.register(
            SkillSpec(
                name=self.name,
                workflow_cls=self.workflow_cls,
                activities=[*ACTIVITIES, *_model_activities(self.function)],
                build_input=_build_input,
                arguments=_model(self.function, self._parameters),
                allowed_tools=self.allowed_tools,
            )
        )


def _build_input(*, run_id: str, run_dir: str, inbox_path: str, cli_args: dict[str, Any]) -> FunctionInput:
    """The arguments as they were given; each is known to be of its type."""
    del run_id, run_dir, inbox_path
    return FunctionInput(cli_args)


def _model_activities(function: Callable[..., Any]) -> list[Callable[..., Any]]:
    """What the function needs a model for, as far as that shows: prompts of its own, or an agent."""
    folder = Path(function.__globals__.get("__file__", "")).parent / "prompts"
    found: list[Callable[..., Any]] = []
    if any(folder.glob("*.user.md")):
        found += [prompt_activities.prompt_batch, prompt_activities.prompt_model]
    if any(_mentions(each.__code__, AGENT_NAMES) for each in _functions(function)):
        found.append(agent_activities.agent_turn)
    return found


def _functions(function: Callable[..., Any]) -> list[FunctionType]:
    """The function, and the others of its module."""
    names = function.__globals__
    return [
        each for each in (function, *names.values()) if isinstance(each, FunctionType) and each.__globals__ is names
    ]


def _mentions(code: CodeType, names: frozenset[str]) -> bool:
    """Whether code, or a function inside it, has one of the names."""
    inner = (each for each in code.co_consts if isinstance(each, CodeType))
    return not names.isdisjoint(code.co_names) or any(_mentions(each, names) for each in inner)


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of `function` that are arguments of the skill; Refusal when it cannot be a skill."""
    name = getattr(function, "__qualname__", repr(function))
    if not inspect.iscoroutinefunction(function):
        raise Refusal(f"@skill stands before {name}, which is not an async function; write: async def {name}(ctx, …)")
    if "<locals>" in name:
        raise Refusal(f"@skill stands before {name}, which lies inside a function; move it to the top of the module")
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].kind not in POSITIONAL:
        raise Refusal(f"{name} takes no context; its first parameter must be ctx: async def {name}(ctx, …)")
    for each in parameters[1:]:
        if each.kind not in {each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY}:
            raise Refusal(f"parameter {each} of {name} cannot be given by name; arguments of a skill are named")
    return {each.name: each for each in parameters[1:]}


def _hints(function: Callable[..., Any], parameters: dict[str, inspect.Parameter]) -> dict[str, Any]:
    """The type of each parameter; of one without annotation, that of its default."""
    annotated = hints(function, parameters)
    return {name: annotated.get(name, _type_of_default(each)) for name, each in parameters.items()}


def _type_of_default(parameter: inspect.Parameter) -> Any:
    has_none = parameter.default is None or parameter.default is parameter.empty
    return Any if has_none else type(parameter.default)


def _model(function: Callable[..., Any], parameters: dict[str, inspect.Parameter]) -> type[BaseModel]:
    """The Pydantic model of the arguments, described as the docstring does; Refusal when one has no schema."""
    config = ConfigDict(extra="forbid", protected_namespaces=())
    try:
        fields = _fields(function, parameters)
        found: type[BaseModel] = create_model("Arguments", __config__=config, **fields)
    except PydanticUserError as error:
        raise Refusal(
            f"the parameters of {function.__qualname__} have no schema: {records.one_line(str(error))}"
        ) from error
    return found


def _fields(function: Callable[..., Any], parameters: dict[str, inspect.Parameter]) -> Any:
    """A field for each parameter, as `create_model` takes them."""
    texts = docstrings.parameters(inspect.getdoc(function) or "")
    return {
        name: (
            hint,
            Field(
                ... if parameters[name].default is inspect.Parameter.empty else parameters[name].default,
                description=texts.get(name),
            ),
        )
        for name, hint in _hints(function, parameters).items()
    }


def _workflow_class(name: str, function: Callable[..., Any], allowed_tools: tuple[str, ...]) -> type:
    """The class that Temporal runs for `function`."""
    parameters = _parameters(function)

    async def run(self: object, given: FunctionInput) -> Any:
        """Run the function, in as many executions as it needs."""
        del self
        memory, notes = Memory(given.memory), ProgressNotes()
        if memory.has_failures and workflow.patched(RETRIES) and await _is_retried():
            memory.forget_failures()
        context = Context(function.__globals__.get("__file__", ""), memory, notes, allowed_tools)
        work = asyncio.ensure_future(function(context, **_typed(function, parameters, given.arguments)))
        full = asyncio.ensure_future(memory.full())
        try:
            await workflow.wait([work, full], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            work.cancel()
            await workflow.wait([work])
            raise
        finally:
            full.cancel()
        if not work.done():
            workflow.continue_as_new(FunctionInput(given.arguments, memory.carried()))
        result = work.result()
        await notes.settled()
        return _result(function, result)

    del run.__annotations__["self"]  # Whoever asks for the type of a workflow's input takes the first annotation.
    cls_name = f"{function.__name__}_workflow"
    # As of a method: Temporal refuses what was defined inside a function, since it could not find it again.
    run.__qualname__ = f"{cls_name}.run"
    run.__module__ = function.__module__
    cls = type(cls_name, (), {"run": workflow.run(run), "__module__": function.__module__, "__qualname__": cls_name})
    return workflow.defn(name=name)(cls)


async def _is_retried() -> bool:
    """Whether a person has had the run go on from the beginning of this execution, whatever failed before it."""
    link = int(run_state.current().envelope.get("link", 0))
    return await workflow.execute_local_activity(
        function_activities.is_retried, IsRetriedInput(link), start_to_close_timeout=LOOK_TIMEOUT
    )


def _typed(
    function: Callable[..., Any], parameters: dict[str, inspect.Parameter], given: dict[str, Any]
) -> dict[str, Any]:
    """The arguments with the types that the function declares."""
    types = _hints(function, parameters)
    return {name: TypeAdapter(types[name]).validate_python(value) for name, value in given.items()}


def _result(function: Callable[..., Any], result: object) -> object:
    """The run's result; a reply of one field is its text where the function promises text."""
    if isinstance(result, Reply) and len(result) == 1 and hints(function, {"return"}).get("return") is str:
        (result,) = result.values()
    return result
