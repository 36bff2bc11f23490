"""JSON text that is changed in one place, with everything else left as its author wrote it."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple, NoReturn

SPACE = " \t\r\n"
"""What JSON counts as space (RFC 8259, section 2)."""

DEFAULT_INDENT = "  "

_NO_CONSTANTS = re.compile(r'"(?:[^"\\]|\\.)*"|(?P<constant>-?Infinity|NaN)')


class Part(NamedTuple):
    """A member of an object or an element of an array, as offsets into the text."""

    key: str
    """The member's name; empty for an element."""
    start: int
    value: int
    """Where its value begins: for an element the same as `start`."""
    end: int


def parse(text: str) -> Any:
    """The value that `text` holds, numbers as text. ValueError with line, column and reason if it is not JSON."""
    try:
        return json.loads(text, parse_float=str, parse_int=str, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except _ConstantError:
        at = next(found.start() for found in _NO_CONSTANTS.finditer(text) if found["constant"])
        line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
        raise ValueError(f"line {line}, column {column}: JSON has no NaN and no Infinity") from None


def parts(text: str, at: int) -> list[Part]:
    """What the object or array has whose bracket is at `at`, in the text of a valid document."""
    found = []
    position = _skip(text, at + 1)
    while text[position] not in "}]":
        start, key = position, ""
        if text[at] == "{":
            key, position = _DECODER.raw_decode(text, position)
            position = _skip(text, _skip(text, position) + 1)
        _, end = _DECODER.raw_decode(text, position)
        found.append(Part(key, start, position, end))
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)
    return found


def member(text: str, at: int, key: str) -> Part | None:
    """The member `key` of the object at `at`, of several the one that counts, which is the last; None without one."""
    return next((part for part in reversed(parts(text, at)) if part.key == key), None)


def appended(text: str, at: int, value: object, key: str = "") -> str:
    """`text` with one more part at the end of the object or array at `at`, indented like what is there."""
    there = parts(text, at)
    if there:
        cut = end = there[-1].end
        gap, tail = _space_before(text, there[-1].start), ""
    else:
        cut, end = at + 1, _skip(text, at + 1)
        tail = "" if _is_one_line(text) else _line_end(text) + _indent_of_line(text, at)
        gap = tail and tail + _indent(text)
    return f"{text[:cut]}{',' if there else ''}{gap}{_written(text, value, key, gap)}{tail}{text[end:]}"


def without(text: str, at: int, index: int) -> str:
    """`text` without part number `index` of the object or array at `at`, and without the comma that it needed."""
    there = parts(text, at)
    if len(there) == 1:
        return text[: at + 1] + text[_skip(text, there[0].end) :]
    if index == 0:
        return text[: there[0].start] + text[there[1].start :]
    return text[: there[index - 1].end] + text[there[index].end :]


class _ConstantError(Exception):
    pass


def _refuse(_name: str) -> NoReturn:
    raise _ConstantError


_DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=_refuse)


def _skip(text: str, position: int) -> int:
    """The first offset from `position` on that is no space."""
    while text[position] in SPACE:
        position += 1
    return position


def _space_before(text: str, position: int) -> str:
    return text[len(text[:position].rstrip(SPACE)) : position]


def _written(text: str, value: object, key: str, gap: str) -> str:
    """`value` as JSON, after its `key` if it has one, for a place that comes after the space `gap`."""
    lines = json.dumps(value, indent=_indent(text) if "\n" in gap else None, ensure_ascii=False)
    indented = lines.replace("\n", _line_end(text) + gap.rpartition("\n")[2])
    return f"{json.dumps(key)}: {indented}" if key else indented


def _is_one_line(text: str) -> bool:
    return "\n" not in text.strip() and len(text.strip()) > len("{}")


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _indent(text: str) -> str:
    """How one level is indented, as far as the text shows."""
    found = re.search(r"\n([ \t]+)\S", text)
    return found[1] if found else DEFAULT_INDENT


def _indent_of_line(text: str, position: int) -> str:
    line = text[text.rfind("\n", 0, position) + 1 : position]
    return line[: len(line) - len(line.lstrip())]
