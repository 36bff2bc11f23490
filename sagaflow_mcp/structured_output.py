"""The structured block in a model's reply.

    STRUCTURED_OUTPUT_START
    KEY|value, which may go on
    over more lines
    STRUCTURED_OUTPUT_END

Models keep to this loosely, so it is read tolerantly: code fences, one line with slashes, no end, JSON instead.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

START = "STRUCTURED_OUTPUT_START"
"""Begins a block."""

END = "STRUCTURED_OUTPUT_END"
"""Ends a block; without it the block goes on to the end of the reply."""

RESPONSE = "RESPONSE"
"""The field that holds a reply which has no block."""

_END = re.compile(rf"^[ \t*_`#>]*{END}|{END}", re.MULTILINE)  # A marker set in bold must not leave its stars behind.
_KEY = r"[A-Z][A-Z0-9_]*[ \t]*\|"
_FIELD = re.compile(rf"^[ \t]*(?={_KEY})", re.MULTILINE)
_SLASH = re.compile(rf"(?:(?<=\s)|\A)/\s*(?={_KEY}|\Z)")
_FENCE = re.compile(r"```\w*")


class Parsed(NamedTuple):
    """What a reply says."""

    fields: dict[str, str]
    has_block: bool
    """False when the reply had no block, so that `fields` is `{"RESPONSE": text}`."""


def parse(text: str) -> Parsed:
    """The fields of the last block in `text` that has any, else the whole of it as `RESPONSE`. Never raises."""
    normal = text.replace("\r\n", "\n")
    for block in reversed(normal.split(START)[1:]):
        fields = _fields(_END.split(block, maxsplit=1)[0])
        if fields:
            return Parsed(fields, has_block=True)
    fields = _json_fields(_unfenced(normal)) if normal.lstrip().startswith("```") else {}
    return Parsed(fields, has_block=True) if fields else Parsed({RESPONSE: text}, has_block=False)


def json_text(text: str) -> str:
    """The JSON that a reply consists of, without the code fence that it may stand in."""
    return _unfenced(text.replace("\r\n", "\n"))


def _fields(block: str) -> dict[str, str]:
    """The fields of one block, as JSON or as `KEY|value` lines; the last of two that share a key."""
    body = _unfenced(block)
    if body.startswith("{"):
        return _json_fields(body)
    if body.startswith("/"):
        body = _SLASH.sub("\n", body)
    found = (piece.partition("|") for piece in _FIELD.split(body)[1:])
    return {key.rstrip(): value.strip() for key, _, value in found}


def _json_fields(body: str) -> dict[str, str]:
    """The members of a JSON object, each as text; none when `body` is not one."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):  # A deeply nested reply exhausts the stack before it is refused.
        return {}
    return {_sound(key): _sound(_text(value)) for key, value in found.items()} if isinstance(found, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _sound(text: str) -> str:
    """`text` without lone surrogates: a JSON escape can make one, and no file or payload can hold it."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _unfenced(body: str) -> str:
    """`body` without the code fence around it, or without the closing half of a fence that opened before it.

    A fence inside a value is part of that value.
    """
    lines = body.strip().split("\n")
    fences = [line.strip() for line in lines if line.strip().startswith("```")]
    if _FENCE.fullmatch(lines[0].strip()):
        closed = len(lines) > 1 and lines[-1].strip() == "```"
        lines = lines[1:-1] if closed else lines[1:]
    elif len(fences) % 2 and lines[-1].strip() == "```":
        lines = lines[:-1]
    return "\n".join(lines).strip()
