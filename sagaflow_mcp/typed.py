"""Values that came as JSON, with the types that were declared for them."""

from __future__ import annotations

import functools
import typing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from sagaflow_mcp import records
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Container

PLAIN = frozenset({None, Any, type(None), object, str, int, float, bool, list, dict})
"""Types whose values JSON already has."""


def as_type(hint: Any, value: object) -> Any:
    """`value` as the type `hint`, None for any. Refusal when it is none of that type."""
    if _is_plain(hint):
        return value
    try:
        return adapter(hint).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise Refusal(f"{records.one_line(repr(value), 80)} is no {hint}: {records.one_line(first['msg'])}") from None


def hints(function: Callable[..., Any], names: Container[str]) -> dict[str, Any]:
    """What `function` is annotated with for `names`, `return` among them perhaps.

    Only these: another may be of a type that its author imports for the type checker alone.

    Raises:
        Refusal: one of these types is not known when the function runs.
    """
    asked = {name: hint for name, hint in getattr(function, "__annotations__", {}).items() if name in names}
    try:
        return typing.get_type_hints(
            SimpleNamespace(__annotations__=asked), getattr(function, "__globals__", {}), include_extras=True
        )
    except NameError as error:
        name = getattr(function, "__qualname__", repr(function))
        raise Refusal(
            f"{name} is annotated with a type that is not there when it runs: {error}; "
            "import it outside of `if TYPE_CHECKING`"
        ) from None


def as_json(what: str, value: object) -> Any:
    """`value` as JSON can hold it. Refusal, which begins with `what` did so, when it cannot."""
    try:
        return adapter(Any).dump_python(value, mode="json")
    except ValueError as error:
        kind, why = type(value).__name__, records.one_line(str(error))
        raise Refusal(f"{what} a value of type {kind} that cannot be written as JSON: {why}") from None


def _is_plain(hint: Any) -> bool:
    try:
        return hint in PLAIN
    except TypeError:  # Some annotations cannot be hashed.
        return False


@functools.lru_cache(maxsize=256)
def adapter(hint: Any) -> TypeAdapter[Any]:
    """Pydantic's adapter of a type, made once."""
    return TypeAdapter(hint)
