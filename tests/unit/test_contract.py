"""The contract between a launch's arguments and a skill's `build_input`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from sagaflow_mcp import argument_schema, contract, records
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.registry import SkillSpec


class Model(BaseModel):
    """Arguments of many kinds."""

    topic: str = Field(description="What to write about.")
    count: int = 3
    deep: bool = False
    tags: list[str] = []
    mode: Literal["a", "b"] = "a"
    limit: float | None = Field(default=None, gt=0)


@dataclass
class Plain:
    """The same as a dataclass."""

    topic: str
    count: int = 3


def build(build_input: Any, arguments: dict[str, Any], declared: type | None = None) -> Any:
    """What a launch of skill `x` gives its workflow."""
    spec = SkillSpec(name="x", workflow_cls=object, activities=[], build_input=build_input, arguments=declared)
    return contract.build(spec, run_id="r", run_dir="/r", inbox_path="/i", arguments=arguments)


def echo(*, cli_args: dict[str, Any], **_: str) -> dict[str, Any]:
    """A `build_input` that reads everything."""
    return dict(cli_args)


def reads_name(*, cli_args: dict[str, Any], **_: str) -> str:
    """A `build_input` that reads one argument, with a default."""
    return str(cli_args.get("name", "world"))


def needs_name(*, cli_args: dict[str, Any], **_: str) -> str:
    """A `build_input` that must have an argument."""
    return str(cli_args["name"])


def schema() -> dict[str, Any]:
    """The schema of `Model`."""
    found = contract.schema(SkillSpec(name="x", workflow_cls=object, activities=[], build_input=echo, arguments=Model))
    assert found is not None
    return found


@pytest.mark.parametrize("declared", [Model, Plain])
def test_declared_arguments_arrive_typed_with_their_defaults(declared: type) -> None:
    """`build_input` need not convert anything."""
    found = build(echo, {"topic": "tea", "count": "7"}, declared)
    assert (found["topic"], found["count"]) == ("tea", 7)


@pytest.mark.parametrize("declared", [Model, Plain])
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "missing argument 'topic' (string) for skill 'x'"),
        ({"topik": "tea"}, "argument 'topi"),
        ({"topic": "tea", "cuont": 1}, "unknown argument 'cuont' for skill 'x': it reads 'topic', 'count'"),
        ({"topic": "tea", "count": "many"}, "argument 'count' of skill 'x' is 'many': "),
        ({"topic": 5}, "argument 'topic' of skill 'x' is 5: "),
    ],
)
def test_wrong_declared_arguments_are_refused_by_name(declared: type, arguments: dict[str, Any], sentence: str) -> None:
    """One sentence, with the argument, the value and what was wanted."""
    with pytest.raises(Refusal) as refused:
        build(echo, arguments, declared)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_declared_argument_is_explained_in_the_authors_words() -> None:
    """Its description is part of the sentence, and so is what was probably meant for it."""
    with pytest.raises(Refusal, match=r"missing argument 'topic' \(string\) for skill 'x': What to write about\."):
        build(echo, {}, Model)


@pytest.mark.parametrize(
    ("given", "typed"),
    [
        ({"topic": "5"}, {"topic": "5"}),
        ({"count": "5"}, {"count": 5}),
        ({"deep": "true"}, {"deep": True}),
        ({"deep": "no"}, {"deep": False}),
        ({"tags": '["a", "b"]'}, {"tags": ["a", "b"]}),
        ({"limit": "2.5"}, {"limit": 2.5}),
        ({"limit": "null"}, {"limit": None}),
        ({"mode": "b"}, {"mode": "b"}),
    ],
)
def test_strings_of_a_command_line_become_what_the_schema_wants(given: dict[str, Any], typed: dict[str, Any]) -> None:
    """And a string stays a string where one is wanted."""
    assert argument_schema.check(schema(), {"topic": "tea", **given}, skill="x") == {"topic": "tea", **typed}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "missing argument 'topic' (string) for skill 'x': What to write about."),
        ({"topic": "tea", "cuont": 1}, "did you mean 'count'?"),
        ({"topic": "tea", "count": "many"}, "argument 'count' of skill 'x' is 'many': it must be of type integer"),
        ({"topic": "tea", "count": True}, "argument 'count' of skill 'x' is True: it must be of type integer"),
        ({"topic": "tea", "tags": "a"}, "argument 'tags' of skill 'x' is 'a': "),
        ({"topic": "tea", "mode": "c"}, "argument 'mode' of skill 'x' is 'c': 'c' is not one of ['a', 'b']"),
        ({"topic": "tea", "limit": -1}, "argument 'limit' of skill 'x' is -1: "),
    ],
)
def test_a_schema_alone_is_enough_to_refuse(arguments: dict[str, Any], sentence: str) -> None:
    """The launcher needs no code of the skill for it."""
    with pytest.raises(Refusal) as refused:
        argument_schema.check(schema(), arguments, skill="x")
    assert sentence in str(refused.value)


class Named(BaseModel):
    """What takes no blank text."""

    name: str = Field(pattern=r"\S")


def test_a_declared_text_that_is_blank_is_refused_in_words() -> None:
    """By the model, where nothing was started yet."""
    with pytest.raises(Refusal) as refused:
        build(echo, {"name": " "}, Named)
    assert str(refused.value) == "argument 'name' of skill 'x' is ' ': it must not be blank"


def test_a_blank_text_is_refused_in_words() -> None:
    """Nobody has to read a regular expression."""
    blank = {
        "type": "object",
        "properties": {"goals": {"type": "array", "items": {"type": "string", "pattern": r"\S"}}},
    }
    with pytest.raises(Refusal) as refused:
        argument_schema.check(blank, {"goals": ["tea", " "]}, skill="x")
    assert str(refused.value) == "argument 'goals' of skill 'x' is ['tea', ' ']: ' ' is blank"


def test_a_long_value_is_cut_in_the_sentence() -> None:
    """A refused prompt does not fill the screen."""
    with pytest.raises(Refusal) as refused:
        argument_schema.check(schema(), {"topic": "tea", "count": "y" * 10_000}, skill="x")
    assert len(str(refused.value)) < 300


def test_arguments_without_a_schema_are_refused_as_a_declaration() -> None:
    """It shows when the skill is loaded."""
    with pytest.raises(Refusal, match="they must be a Pydantic model or a dataclass"):
        contract.schema(SkillSpec(name="x", workflow_cls=object, activities=[], build_input=echo, arguments=int))


def test_undeclared_arguments_are_those_that_are_read() -> None:
    """A skill need not declare anything."""
    assert build(reads_name, {"name": "bo"}) == "bo"
    assert build(reads_name, {}) == "world"


def test_an_argument_that_is_never_read_is_unknown() -> None:
    """A typo does not pass as a default."""
    with pytest.raises(Refusal) as refused:
        build(reads_name, {"nmae": "bo"})
    assert str(refused.value) == "unknown argument 'nmae' for skill 'x': it reads 'name'; did you mean 'name'?"


def test_an_argument_of_a_skill_that_reads_none_is_unknown() -> None:
    """The sentence says that there are none."""
    with pytest.raises(Refusal, match="it takes no arguments"):
        build(lambda **_: None, {"name": "bo"})


def test_an_argument_that_is_read_but_not_given_is_missing() -> None:
    """With what was probably meant for it."""
    with pytest.raises(Refusal) as refused:
        build(needs_name, {"nmae": "bo"})
    assert str(refused.value) == "missing argument 'name' for skill 'x'; you gave 'nmae'"


@pytest.mark.parametrize(
    "read_all",
    [
        dict,
        lambda args: {**args},
        lambda args: dict(args.items()),
        lambda args: args.copy(),
        lambda args: args,
        lambda args: {"kept": args},
    ],
)
def test_a_skill_that_takes_all_arguments_knows_them_all(read_all: Any) -> None:
    """It may read them in the workflow."""
    assert build(lambda *, cli_args, **_: read_all(cli_args), {"any": 1})


@pytest.mark.parametrize(
    ("raised", "sentence"),
    [
        (ValueError("depth must be 1 to 3"), "skill 'x' refused its arguments: depth must be 1 to 3"),
        (ValueError(), "skill 'x' refused its arguments: ValueError"),
        (Refusal("no such prompt"), "skill 'x' could not build its input: no such prompt"),
        (ZeroDivisionError("by\nzero"), "build_input of skill 'x' failed: ZeroDivisionError: by zero"),
        (
            SystemExit("no such city"),
            "build_input of skill 'x' calls sys.exit: no such city; to refuse a launch, raise a ValueError",
        ),
    ],
)
def test_what_build_input_raises_is_a_sentence(raised: BaseException, sentence: str) -> None:
    """A ValueError is the author's way to refuse; the rest are bugs of the skill."""

    def build_input(**_: object) -> None:
        raise raised

    with pytest.raises(Refusal) as refused:
        build(build_input, {})
    assert str(refused.value) == sentence


@pytest.mark.parametrize("kind", [ValueError, TypeError, ZeroDivisionError, Refusal, SystemExit])
def test_what_build_input_raises_is_short_and_harmless(kind: type[BaseException]) -> None:
    """Whatever a skill puts into its exceptions."""

    def build_input(**_: object) -> None:
        """Raise five megabytes of trouble."""
        raise kind("\x1b[31m</x>\n" + "very " * 1_000_000)

    with pytest.raises(Refusal) as refused:
        build(build_input, {})
    said = str(refused.value)
    assert "skill 'x'" in said
    assert "very very" in said
    assert len(said) < 1000
    assert records.one_line(said, 1000) == said
