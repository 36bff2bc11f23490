"""What keeps a worker from running what a skill registers."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, NamedTuple

from temporalio import activity, workflow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sagaflow_mcp.registry import SkillSpec

OWN_MODULES = (
    "sagaflow_mcp.durable.activities",
    "sagaflow_mcp.durable.agent_activities",
    "sagaflow_mcp.durable.function_activities",
    "sagaflow_mcp.durable.mcp_activities",
    "sagaflow_mcp.durable.permit_activities",
    "sagaflow_mcp.durable.prompt_activities",
)

OWN_ACTIVITIES = frozenset(
    {
        *("agent_turn", "emit_finding", "sagaflow_build_input", "spawn_subagent", "write_artifact"),
        *(
            "ask_permission",
            "close_question",
            "is_retried",
            "note_progress",
            "prepare_child",
            "prompt_batch",
            "prompt_model",
        ),
        *("list_mcp_tools", "put_question", "run_function", "use_tool"),
    }
)
"""The names of Sagaflow's own activities."""


class Trouble(NamedTuple):
    """What is wrong with a skill."""

    sentence: str
    culprit: object = None
    """The function or class that is to be changed; None for the skill's `register`."""


def trouble(spec: SkillSpec, name: str, workflows: Sequence[type]) -> Trouble | None:
    """Why a worker could not run `spec` as skill `name` with these workflow classes; None when it can."""
    if spec.name != name:
        return Trouble(
            f"it registers itself as {spec.name!r}, but its folder is called {name!r}; the two must be the same"
        )
    found = _workflow_trouble(spec)
    if found:
        return Trouble(f"its workflow class {spec.workflow_cls.__name__} {found}", spec.workflow_cls)
    return _repeated_workflow(workflows) or _activity_trouble(spec) or _build_input_trouble(spec)


def is_workflow(value: object) -> bool:
    """Whether `value` is a class with `@workflow.defn`."""
    # Looked up in the class itself: it inherits its parent's attributes, but is not thereby a workflow.
    return isinstance(value, type) and "__temporal_workflow_definition" in vars(value)


def workflow_name(cls: type) -> str:
    """The name that Temporal knows a workflow class by; empty for a dynamic one."""
    return workflow._Definition.must_from_class(cls).name or ""  # noqa: SLF001 - there is no public way


def activity_names(spec: SkillSpec) -> list[str]:
    """The names that Temporal knows the skill's activities by, in the skill's order; empty for a dynamic one."""
    found = (activity._Definition.must_from_callable(each) for each in spec.activities)  # noqa: SLF001 - as above
    return [each.name or "" for each in found]


def _workflow_trouble(spec: SkillSpec) -> str | None:
    """What is wrong with the workflow class, as the end of a sentence; None when it is in order."""
    if not is_workflow(spec.workflow_cls):
        return "has no @workflow.defn"
    if not workflow_name(spec.workflow_cls):
        return "is dynamic; give it a name: @workflow.defn(name=…)"
    if hasattr(vars(spec.workflow_cls).get("__init__"), "__temporal_workflow_init"):
        return "uses @workflow.init, before the input is there; give the input to @workflow.run alone"
    return None


def _repeated_workflow(workflows: Sequence[type]) -> Trouble | None:
    repeated = _repeated(map(workflow_name, workflows))
    if repeated is None:
        return None
    first, second, *_ = (each for each in workflows if workflow_name(each) == repeated)
    advice = _advice(repeated, "@workflow.defn(name=…)")
    return Trouble(f"two of its workflow classes, {first.__name__} and {second.__name__}, are {advice}", second)


def _activity_trouble(spec: SkillSpec) -> Trouble | None:
    for each in spec.activities:
        if getattr(each, "__temporal_activity_definition", None) is None:
            return Trouble(f"its activity {getattr(each, '__name__', each)!r} has no @activity.defn", each)
    names = activity_names(spec)
    for each, name in zip(spec.activities, names, strict=True):
        if name in OWN_ACTIVITIES and not _is_own(each, name):
            return Trouble(
                f"its activity {name!r} has the name of one of Sagaflow's own; give it another: @activity.defn(name=…)",
                each,
            )
    repeated = _repeated(names)
    if repeated is None:
        return None
    *_, last = (each for each, name in zip(spec.activities, names, strict=True) if name == repeated)
    return Trouble(f"two of its activities are {_advice(repeated, '@activity.defn(name=…)')}", last)


def _is_own(function: object, name: str) -> bool:
    """Whether `function` is Sagaflow's own activity `name`; a skill that lists it has imported it."""
    return any(function is getattr(sys.modules.get(module), name, None) for module in OWN_MODULES)


def _build_input_trouble(spec: SkillSpec) -> Trouble | None:
    try:
        inspect.signature(spec.build_input).bind(run_id="", run_dir="", inbox_path="", cli_args={})
    except TypeError as error:
        return Trouble(
            f"its build_input cannot be called with run_id, run_dir, inbox_path and cli_args: {error}", spec.build_input
        )
    return None


def _repeated(names: Iterable[str]) -> str | None:
    """The first name that comes a second time; None when none does."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _advice(name: str, how: str) -> str:
    """What two things of one name are, and what is to be done, as the end of a sentence."""
    return f"named {name!r}; give one of them another: {how}" if name else "dynamic; it can have one"
