"""Arguments, as far as they can be judged without a skill's code."""

from __future__ import annotations

from typing import Any

import pytest

from sagaflow_mcp import argument_schema
from sagaflow_mcp.errors import Refusal

NUMBER = {"type": "object", "properties": {"x": {"type": "number"}}}


def nested(depth: int) -> list[Any]:
    """A list in a list in a list."""
    found: list[Any] = []
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize("value", ["caf\u00e9", 1, 1.5, None, True, ["a", {"b": []}], nested(50)])
def test_what_json_has_can_be_kept(value: object) -> None:
    """All of it."""
    argument_schema.refuse_unwritable("s", {"x": value})


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("caf\udce9", "is not valid Unicode; give it in UTF-8"),
        ({"deep": ["\ud800"]}, "is not valid Unicode"),
        ({"\ud800": 1}, "is not valid Unicode"),
        (float("nan"), "cannot be written as JSON"),
        ([float("-inf")], "cannot be written as JSON"),
        (object(), "cannot be written as JSON: Object of type object"),
        ({1, 2}, "cannot be written as JSON"),
        (nested(100_000), "is nested too deeply"),
    ],
    ids=["text", "inside", "key", "nan", "infinity", "object", "set", "nested"],
)
def test_what_json_has_not_is_refused_by_its_name(value: object, why: str) -> None:
    """A run's arguments are kept in files and sent, so it could not be launched."""
    with pytest.raises(Refusal) as refused:
        argument_schema.refuse_unwritable("s", {"good": 1, "x": value})
    assert str(refused.value).startswith(f"argument 'x' of skill 's' {why}")


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999"])
def test_a_number_that_json_does_not_have_is_none(text: str) -> None:
    """On a command line all is text, and Python would read these as numbers."""
    with pytest.raises(Refusal, match=f"argument 'x' of skill 's' is '{text}': it must be of type number"):
        argument_schema.check(NUMBER, {"x": text}, skill="s")
