"""What a skill declares about itself when Sagaflow calls its `register(registry)`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["SkillRegistry", "SkillSpec"]

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
NAME_RULE = "1 to 64 of a-z, 0-9, '-' and '_', the first a letter or a digit"


@dataclass(frozen=True)
class SkillSpec:
    """One skill: its workflow and what the workflow needs."""

    name: str
    """The name of the skill's directory."""
    workflow_cls: type
    """A class with `@workflow.defn`."""
    activities: Sequence[Callable[..., Any]]
    """The functions with `@activity.defn` that the workflow runs, Sagaflow's own among them."""
    build_input: Callable[..., Any]
    """Called as `build_input(run_id=…, run_dir=…, inbox_path=…, cli_args=…)`; the workflow is given what it
    returns. A ValueError refuses the launch with its message."""
    arguments: type | None = None
    """A Pydantic model or a dataclass whose fields are the arguments; without it, what `build_input` reads."""
    execution_timeout: timedelta | None = None
    """How long a run may take in all; without it, as long as it needs."""
    allowed_tools: Sequence[str] = ()
    """The tools that its agents use without asking a person, beyond those that only read files."""


class SkillRegistry:
    """What `register(registry)` is called with."""

    def __init__(self) -> None:
        self._specs: list[SkillSpec] = []

    @property
    def specs(self) -> tuple[SkillSpec, ...]:
        """Everything registered so far, in order."""
        return tuple(self._specs)

    def register(self, spec: SkillSpec) -> None:
        """Declare a skill.

        Raises:
            Refusal: a field of `spec` is not what it must be.
        """
        trouble = _trouble(spec)
        if trouble:
            raise Refusal(trouble)
        self._specs.append(spec)


def _trouble(spec: object) -> str | None:
    """What is wrong with `spec`, in a sentence; None when it is in order."""
    if not isinstance(spec, SkillSpec):
        return f"register() was given {_kind(spec)}; it takes a SkillSpec"
    # An author's types are not checked by anything before this.
    given = cast("Any", spec)
    timeout = given.execution_timeout
    checks = (
        (isinstance(given.name, str) and NAME.match(given.name), "name", NAME_RULE),
        (isinstance(given.workflow_cls, type), "workflow_cls", "a class with @workflow.defn"),
        (_are_callable(given.activities), "activities", "a list of functions with @activity.defn"),
        (callable(given.build_input), "build_input", "a function"),
        (given.arguments is None or isinstance(given.arguments, type), "arguments", "a Pydantic model or a dataclass"),
        (_are_names(given.allowed_tools), "allowed_tools", "a list of the names of tools"),
        (timeout is None or _is_positive(timeout), "execution_timeout", "a timedelta longer than zero"),
    )
    for is_right, field, wanted in checks:
        if not is_right:
            return f"SkillSpec {field} is {getattr(given, field)!r}; it must be {wanted}"
    return None


def _are_callable(value: object) -> bool:
    return isinstance(value, list | tuple) and all(callable(each) for each in value)


def _are_names(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)


def _is_positive(value: object) -> bool:
    return isinstance(value, timedelta) and value > timedelta(0)


def _kind(value: object) -> str:
    """`value` in a few words: its type, or the class that it is."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"a value of type {type(value).__name__}"
