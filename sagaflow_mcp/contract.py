"""The contract between a launch's arguments and a skill's `build_input`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import argument_schema, authorship, records
from sagaflow_mcp.errors import Refusal, SagaflowError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import ValidationError

    from sagaflow_mcp.registry import SkillSpec

__all__ = ["Arguments", "MissingArgumentError", "build", "schema"]

REASON_LIMIT = 600
"""How much of what a skill says a refusal repeats, in characters."""


class Arguments(dict[str, Any]):
    """The arguments of a skill that declares none: it remembers which of them `build_input` asked for."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__(given)
        self.asked: dict[str, None] = {}
        """Every key asked for, in order."""
        self.all_seen = False
        """Whether all of it was looked at, so that no key can be called unknown."""

    def __getitem__(self, key: str) -> Any:
        self.asked[key] = None
        return super().__getitem__(key)

    def __missing__(self, key: str) -> Any:
        raise MissingArgumentError(key)

    def __contains__(self, key: object) -> bool:
        self.asked[str(key)] = None
        return super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """As `dict.get`."""
        self.asked[key] = None
        return super().get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        """As `dict.pop`."""
        self.asked[key] = None
        if key not in self and not default:
            raise MissingArgumentError(key)
        return super().pop(key, *default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """As `dict.setdefault`."""
        self.asked[key] = None
        return super().setdefault(key, default)

    def __iter__(self) -> Iterator[str]:
        self.all_seen = True
        return super().__iter__()

    def keys(self) -> Any:
        """As `dict.keys`."""
        self.all_seen = True
        return super().keys()

    def values(self) -> Any:
        """As `dict.values`."""
        self.all_seen = True
        return super().values()

    def items(self) -> Any:
        """As `dict.items`."""
        self.all_seen = True
        return super().items()

    def copy(self) -> dict[str, Any]:
        """As `dict.copy`."""
        self.all_seen = True
        return super().copy()


class MissingArgumentError(KeyError):
    """An argument was asked for that was not given."""


def schema(spec: SkillSpec) -> dict[str, Any] | None:
    """The JSON schema of the skill's arguments; None when it declares none.

    Raises:
        Refusal: `arguments` is not a type that has a schema.
    """
    if spec.arguments is None:
        return None
    from pydantic import TypeAdapter  # noqa: PLC0415 - 0.1 s that a skill without declared arguments does not need
    from pydantic.errors import PydanticUserError  # noqa: PLC0415 - as above

    try:
        found = TypeAdapter(spec.arguments).json_schema()
    except PydanticUserError as error:
        what = records.one_line(error.message)
        raise Refusal(f"the arguments of skill {spec.name!r} have no JSON schema: {what}") from error
    if found.get("type") != "object" and "$ref" not in found:
        kind = spec.arguments.__name__
        raise Refusal(f"the arguments of skill {spec.name!r} are {kind}; they must be a Pydantic model or a dataclass")
    return found


def build(spec: SkillSpec, *, run_id: str, run_dir: str, inbox_path: str, arguments: Mapping[str, Any]) -> object:
    """What the skill's `build_input` makes of `arguments`, to be given to its workflow.

    Raises:
        Refusal: an argument is unknown, missing or of the wrong type, or `build_input` raised.
    """
    given = _validated(spec, spec.arguments, arguments) if spec.arguments else Arguments(arguments)
    try:
        result = spec.build_input(run_id=run_id, run_dir=run_dir, inbox_path=inbox_path, cli_args=given)
    except MissingArgumentError as error:
        raise Refusal(argument_schema.missing(spec.name, error.args[0], {}, arguments, _asked(given))) from None
    except SagaflowError as error:
        raise Refusal(f"skill {spec.name!r} could not build its input: {_words(error)}") from error
    except (ValueError, TypeError) as error:
        raise Refusal(f"skill {spec.name!r} refused its arguments: {_reason(error)}") from error
    except Exception as error:
        what = f"{type(error).__name__}: {_words(error)}"
        raise Refusal(f"build_input of skill {spec.name!r} failed{authorship.aside(error)}: {what}") from error
    except SystemExit as error:
        # It would take along the worker, or the process in which the skill is tried.
        raise Refusal(
            f"build_input of skill {spec.name!r} calls sys.exit{authorship.aside(error)}: {_words(error)}; "
            "to refuse a launch, raise a ValueError"
        ) from error
    if isinstance(given, Arguments) and not given.all_seen and not _holds(result, given):
        argument_schema.refuse_unknown(spec.name, arguments, list(given.asked))
    return result


def _validated(spec: SkillSpec, declared: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - 0.1 s, needed for declared arguments only

    wanted = schema(spec) or {}
    properties = argument_schema.whole(wanted).get("properties", {})
    adapter: TypeAdapter[Any] = TypeAdapter(declared)
    try:
        value = adapter.validate_python(argument_schema.coerce(wanted, arguments), extra="forbid")
    except ValidationError as error:
        raise Refusal(_first_trouble(spec.name, error, arguments, properties)) from None
    values: dict[str, Any] = adapter.dump_python(value)
    return values


def _first_trouble(
    skill: str, error: ValidationError, arguments: Mapping[str, Any], properties: Mapping[str, Any]
) -> str:
    """The first of Pydantic's complaints in our words."""
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if len(first["loc"]) == 1 and first["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        return argument_schema.unknown(skill, name, list(properties))
    if len(first["loc"]) == 1 and first["type"] in {"missing", "missing_argument", "missing_keyword_only_argument"}:
        return argument_schema.missing(skill, name, properties.get(name, {}), arguments, properties)
    if not name:
        return f"skill {skill!r} refused its arguments: {records.one_line(first['msg'])}"
    inside = "".join(f"[{each!r}]" for each in first["loc"][1:])
    value = argument_schema.shown(first["input"])
    if first.get("ctx", {}).get("pattern") == argument_schema.NOT_BLANK:
        return f"argument {name!r}{inside} of skill {skill!r} is {value}: it must not be blank"
    return f"argument {name!r}{inside} of skill {skill!r} is {value}: {records.one_line(first['msg'])}"


def _asked(given: Mapping[str, Any]) -> Mapping[str, Any]:
    return given.asked if isinstance(given, Arguments) else {}


def _holds(result: object, given: Arguments) -> bool:
    """Whether `result` carries `given` itself, for the workflow to read later."""
    if dataclasses.is_dataclass(result):
        parts = [getattr(result, field.name, None) for field in dataclasses.fields(result)]
    else:
        parts = list(result.values()) if isinstance(result, dict) else list(getattr(result, "__dict__", {}).values())
    return any(each is given for each in (result, *parts))


def _words(error: BaseException) -> str:
    return records.one_line(str(error), REASON_LIMIT)


def _reason(error: ValueError | TypeError) -> str:
    """The author's sentence; for a TypeError, which is seldom meant as one, the place as well."""
    text = _words(error) or type(error).__name__
    return f"{text}{authorship.aside(error)}" if isinstance(error, TypeError) else text
