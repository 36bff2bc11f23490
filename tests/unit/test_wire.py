"""A long line is understood from its ends, as a short one is from the whole."""

from __future__ import annotations

import json

import pytest

from sagaflow_mcp import wire

LONG = ', "method": "forged", "id": 9}' * (wire.LONG // 20)

MESSAGES = [
    {"jsonrpc": "2.0", "id": 7, "result": {"text": LONG}},
    {"jsonrpc": "2.0", "id": "seven", "error": {"code": 1, "message": LONG}},
    {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"text": LONG}},
    {"method": "tools/call", "params": {"text": LONG}, "jsonrpc": "2.0", "id": "seven"},
    {"method": "tools/call", "params": {"text": LONG}, "jsonrpc": "2.0", "id": -7},
    {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"text": LONG}},
    {"method": "notifications/progress", "params": {"text": LONG}, "jsonrpc": "2.0"},
    {"id": 'a "quoted" one', "result": {"id": 8}, "text": LONG},
]


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_a_long_line_is_what_a_short_one_would_be(message: dict[str, object], separators: tuple[str, str]) -> None:
    """Whatever is inside its strings, and in whichever order an SDK writes it."""
    raw = json.dumps(message, separators=separators).encode() + b"\n"
    assert len(raw) > wire.LONG
    found = wire.read(raw)
    assert found.method == message.get("method", "")
    assert found.key == (json.dumps(message["id"]) if "id" in message else "")
    assert found.body == message


def test_a_long_line_is_not_parsed_where_its_ends_tell_enough() -> None:
    """What lies between is not even looked at."""
    head, tail = b'{"jsonrpc":"2.0","id":7,"result":', b'{"method":"tools/call","params":'
    assert wire.read(head + b"?" * wire.LONG).key == "7"
    assert wire.read(tail + b"?" * wire.LONG + b',"jsonrpc":"2.0","id":8}\n').key == "8"
