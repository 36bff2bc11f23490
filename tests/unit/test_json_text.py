"""JSON text that is changed in one place."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest

from sagaflow_mcp import json_text

VALUES: tuple[Any, ...] = (
    1,
    -2.5,
    True,
    None,
    "",
    'a "quoted" \\ text',
    "\u00e9\u2028",
    "}],{[",
    [],
    {},
    [1, [2, {"x": []}]],
)


def document(chance: random.Random) -> str:
    """An object with a few members, spaced in any way that JSON allows."""

    def space() -> str:
        return "".join(chance.choices(" \t\n", k=chance.choice([0, 0, 1, 3])))

    def written(value: Any) -> str:
        if isinstance(value, list):
            return f"[{space()}" + ",".join(f"{space()}{written(each)}{space()}" for each in value) + "]"
        if isinstance(value, dict):
            members = (
                f"{space()}{json.dumps(key)}{space()}:{space()}{written(each)}{space()}" for key, each in value.items()
            )
            return f"{{{space()}" + ",".join(members) + "}"
        return json.dumps(value, ensure_ascii=chance.random() < 0.5)

    return space() + written({f"k{n}": chance.choice(VALUES) for n in range(chance.randrange(4))}) + space()


def root(text: str) -> int:
    """Where the object begins."""
    return text.index("{")


@pytest.mark.parametrize("seed", range(200))
def test_what_is_added_and_taken_away_again_leaves_the_text_as_it_was(seed: int) -> None:
    """Byte for byte, however it is laid out; only space in an empty object is lost."""
    text = document(random.Random(seed))
    more = json_text.appended(text, root(text), {"new": [1, "two"]}, "added")
    assert json.loads(more) == {**json.loads(text), "added": {"new": [1, "two"]}}
    assert list(json.loads(more))[-1] == "added"
    members = json_text.parts(more, root(more))
    back = json_text.without(more, root(more), len(members) - 1)
    assert back == text or (len(members) == 1 and back.strip() == "{}")


@pytest.mark.parametrize("seed", range(100))
def test_any_part_can_be_taken_away(seed: int) -> None:
    """The others stay as they are written."""
    text = document(random.Random(seed))
    for index, part in enumerate(json_text.parts(text, root(text))):
        left = json.loads(text)
        del left[part.key]
        shorter = json_text.without(text, root(text), index)
        assert json.loads(shorter) == left
        assert all(text[each.start : each.end] in shorter for each in json_text.parts(text, root(text)) if each != part)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{}", '{\n  "a": [\n    1\n  ]\n}'),
        ('{"b": 1}', '{"b": 1,"a": [1]}'),
        ('{"c": 2, "b": 1}', '{"c": 2, "b": 1, "a": [1]}'),
        ('{\n\t"b": 1\n}\n', '{\n\t"b": 1,\n\t"a": [\n\t\t1\n\t]\n}\n'),
        ('{\r\n    "b": 1\r\n}', '{\r\n    "b": 1,\r\n    "a": [\r\n        1\r\n    ]\r\n}'),
    ],
    ids=["empty", "one line", "one spaced line", "tabs", "four spaces and CRLF"],
)
def test_what_is_added_is_written_like_what_is_there(before: str, after: str) -> None:
    """Its indentation and its line ends."""
    assert json_text.appended(before, 0, [1], "a") == after


def test_of_a_name_given_twice_the_last_counts() -> None:
    """As for every reader of JSON."""
    text = '{"a": 1, "a": [2]}'
    found = json_text.member(text, 0, "a")
    assert found is not None
    assert text[found.value : found.end] == "[2]"
    assert json_text.member(text, 0, "b") is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{\n  "a": 1\n  "b": 2}', "line 3, column 3: "),
        ('{\n  // why\n  "a": 1}', "line 2, column 3: "),
        ('{"a": "NaN",\n "b": NaN}', "line 2, column 7: JSON has no NaN"),
        ("[-Infinity]", "line 1, column 2: JSON has no NaN"),
        ("{} {}", "line 1, column 4: Extra data"),
        ("[" * 100_000, "nested too deeply"),
        ("", "line 1, column 1: "),
    ],
)
def test_what_is_no_json_is_told_with_its_place(text: str, sentence: str) -> None:
    """For the person who wrote it."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        json_text.parse(text)


def test_numbers_are_not_looked_at() -> None:
    """However long they are."""
    assert json_text.parse(f'{{"n": {"9" * 10_000}}}') == {"n": "9" * 10_000}
