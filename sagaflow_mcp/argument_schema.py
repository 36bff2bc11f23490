"""What a skill's argument schema says about the arguments of one launch."""

from __future__ import annotations

import difflib
import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from sagaflow_mcp import records
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

NOT_BLANK = r"\S"
"""The pattern of a text in which something can be read; the only one that a message puts in words."""

VALUE_LIMIT = 80
"""How much of a refused value a message repeats, in characters."""

JSON_TYPES: dict[str, tuple[type, ...]] = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "null": (type(None),),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}
"""The Python types of JSON's; a boolean is an int in Python, but no integer in JSON."""

ANNOTATIONS = frozenset({"default", "description", "examples", "title", "type"})
"""Keywords of a JSON schema that constrain nothing, and `type`."""


class Parameter(NamedTuple):
    """An argument as a command line takes it."""

    name: str
    kind: str
    """What its value looks like: `TEXT`, `INTEGER`, `NUMBER`, `true|false`, `a|b`, `PATH` or `JSON`."""
    default: str | None
    """As JSON; None for one that must be given."""
    description: str


def parameters(schema: Mapping[str, Any]) -> list[Parameter]:
    """What `schema` says of each argument, in its order; every text harmless."""
    declared = whole(schema)
    required = declared.get("required", [])
    return [
        Parameter(
            records.one_line(name, 80),
            records.one_line(_kind(schema, member), 80),
            None if name in required else records.one_line(json.dumps(member.get("default")), 80),
            str(member.get("description", "")),
        )
        for name, member in declared.get("properties", {}).items()
    ]


def _kind(schema: Mapping[str, Any], member: Mapping[str, Any]) -> str:
    """What a value of `member` looks like on a command line."""
    resolved = _resolved(schema, member)
    if options := resolved.get("enum"):
        return "|".join(str(option) for option in options)
    if resolved.get("format") == "path":
        return "PATH"
    kinds = _types(schema, member) - {"null"}
    words = {"string": "TEXT", "integer": "INTEGER", "number": "NUMBER", "boolean": "true|false"}
    return "VALUE" if not kinds else "TEXT" if "string" in kinds else words.get("".join(kinds), "JSON")


def coerce(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """`arguments` with strings read as what `schema` wants, where they can be: a command line knows only strings."""
    properties = whole(schema).get("properties", {})
    return {name: _coerced(_types(schema, properties.get(name, {})), value) for name, value in arguments.items()}


def check(schema: Mapping[str, Any], arguments: Mapping[str, Any], *, skill: str) -> dict[str, Any]:
    """`arguments` as `coerce` reads them, all of which fit `schema`.

    Raises:
        Refusal: one is unknown, missing or not of its type.
    """
    declared = whole(schema)
    properties: dict[str, Any] = declared.get("properties", {})
    if not declared.get("additionalProperties"):
        refuse_unknown(skill, arguments, list(properties))
    for name in declared.get("required", []):
        if name not in arguments:
            raise Refusal(missing(skill, name, properties.get(name, {}), arguments, properties))
    typed = coerce(schema, arguments)
    for name, value in typed.items():
        trouble = _mismatch(schema, properties.get(name, {}), value)
        if trouble:
            hint = _hint(schema, properties.get(name, {}), value)
            raise Refusal(f"argument {name!r} of skill {skill!r} is {shown(value)}: {trouble}{hint}")
    return typed


def refuse_unwritable(skill: str, arguments: Mapping[str, Any]) -> None:
    """Return when each argument can be written as JSON in UTF-8, as a run keeps it; Refusal otherwise."""
    for name, value in arguments.items():
        trouble = _unwritable({name: value})
        if trouble:
            raise Refusal(f"argument {shown(name)} of skill {skill!r} {trouble}")


def _unwritable(value: object) -> str | None:
    """What keeps `value` from being written, as the end of a sentence; None when nothing does."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except UnicodeEncodeError:
        return "is not valid Unicode; give it in UTF-8"
    except (TypeError, ValueError) as error:
        return f"cannot be written as JSON: {records.one_line(str(error))}"
    except RecursionError:
        return "is nested too deeply"
    return None


def refuse_unknown(skill: str, arguments: Mapping[str, Any], known: list[str]) -> None:
    """Return when every argument is among `known`; Refusal otherwise."""
    for name in arguments:
        if name not in known:
            raise Refusal(unknown(skill, name, known))


def unknown(skill: str, name: str, known: list[str]) -> str:
    """The sentence for an argument that the skill does not have."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    reads = f"it reads {', '.join(repr(each) for each in known)}" if known else "it takes no arguments"
    return f"unknown argument {name!r} for skill {skill!r}: {reads}{hint}"


def missing(
    skill: str, name: str, wanted: Mapping[str, Any], arguments: Mapping[str, Any], known: Mapping[str, Any]
) -> str:
    """The sentence for an argument that was not given; `known` are those the skill has."""
    kind = f" ({wanted['type']})" if isinstance(wanted.get("type"), str) else ""
    about = f": {wanted['description']}" if wanted.get("description") else ""
    near = difflib.get_close_matches(name, [each for each in arguments if each not in known], n=1)
    hint = f"; you gave {near[0]!r}" if near else ""
    return f"missing argument {name!r}{kind} for skill {skill!r}{about}{hint}"


def _mismatch(schema: Mapping[str, Any], wanted: Mapping[str, Any], value: object) -> str | None:
    """Why `value` is not what `wanted` asks for; None when it is."""
    kind = wanted.get("type")
    if isinstance(kind, str) and kind in JSON_TYPES and wanted.keys() <= ANNOTATIONS:
        return None if _is(kind, value) else f"it must be of type {kind}"
    if not wanted:
        return None
    import jsonschema  # noqa: PLC0415 - 0.2 s that plain types do not need

    checker = jsonschema.Draft202012Validator({**wanted, "$defs": schema.get("$defs", {})})
    trouble = next(iter(checker.iter_errors(value)), None)
    if trouble and trouble.validator == "pattern" and trouble.validator_value == NOT_BLANK:
        return records.one_line(f"{shown(trouble.instance)} is blank")
    return records.one_line(trouble.message) if trouble else None


def _hint(schema: Mapping[str, Any], wanted: Mapping[str, Any], value: object) -> str:
    """How a list or an object is given on a command line, where a text was given in its place; empty elsewhere."""
    examples = {"array": '["a", "b"]', "object": '{"name": "value"}'}
    found = [examples[kind] for kind in sorted(_types(schema, wanted)) if kind in examples]
    return f"; give JSON, such as {found[0]}" if found and isinstance(value, str) else ""


def _coerced(wanted: set[str], value: object) -> object:
    """`value` read as JSON where that gives one of the types in `wanted` and a string is not among them."""
    if not isinstance(value, str) or not wanted or "string" in wanted:
        return value
    text = value.strip()
    if "boolean" in wanted and text.lower() in {"true", "false", "yes", "no"}:
        return text.lower() in {"true", "yes"}
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return value
    return read if any(_is(kind, read) for kind in wanted) else value


def _types(schema: Mapping[str, Any], wanted: Mapping[str, Any]) -> set[str]:
    """The JSON types that a value for `wanted` may have; empty when that is not said."""
    wanted = _resolved(schema, wanted)
    kind = wanted.get("type")
    found = {kind} if isinstance(kind, str) else set(kind or ())
    for key in ("anyOf", "oneOf"):
        for each in wanted.get(key, ()):
            found |= _types(schema, each)
    if any(isinstance(each, str) for each in wanted.get("enum", ())):
        found.add("string")
    return found


def whole(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of `schema` that describes the arguments together."""
    return _resolved(schema, schema)


def _resolved(schema: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    """`part`, or the definition in `schema` that it refers to."""
    reference = part.get("$ref", "")
    found: Mapping[str, Any] = schema.get("$defs", {}).get(reference.removeprefix("#/$defs/"), part)
    return found


def _is(kind: str, value: object) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, float) and not math.isfinite(value):
        return False  # Python reads NaN and 1e999 as JSON; nothing else does.
    return isinstance(value, JSON_TYPES.get(kind, ()))


def shown(value: object) -> str:
    """A refused value as a message repeats it."""
    text = repr(value)
    return text if len(text) <= VALUE_LIMIT else f"{text[:VALUE_LIMIT]}…"
