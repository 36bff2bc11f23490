"""A long line is understood from its ends, as a short one is from the whole."""

from __future__ import annotations

import json

import mcp_types as types
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
    head, tail = b'{"jsonrpc":"2.0","id":7,"result":', b'{"method":"tools/call","params":{'
    assert wire.read(head + b"?" * wire.LONG).key == "7"
    assert wire.read(tail + b"?" * wire.LONG + b',"jsonrpc":"2.0","id":8}\n').key == "8"


def call(**changed: object) -> dict[str, object]:
    """A request."""
    return {"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "list_runs"}, **changed}


def nested(levels: int) -> object:
    """So many lists in each other."""
    return json.loads("[" * levels + "]" * levels)


@pytest.mark.parametrize("padding", ["", "x" * wire.LONG], ids=["short", "long"])
@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (call(jsonrpc="1.0"), '"jsonrpc" must be "2.0"'),
        (call(params=["list_runs"]), "params must be an object"),
        (call(params={"name": "\ud83d"}), "half of a character"),
        (call(params={"name": "\ude00\ud83d"}), "half of a character"),
        (call(params={"name": nested(99)}), "nested more than 100 levels deep"),
        (call(params={"name": nested(900)}), "nested more than 100 levels deep"),
        (call(id="\ud83d"), "half of a character"),
    ],
)
def test_what_a_server_would_not_read_is_refused_with_its_id(
    message: dict[str, object], reason: str, padding: str
) -> None:
    """Whoever sent it waits for an answer, which the server would not give."""
    raw = json.dumps({**message, "more": padding}).encode()
    with pytest.raises(wire.NotAMessageError, match=reason) as refused:
        wire.read_strictly(raw)
    assert refused.value.code == wire.INVALID_REQUEST
    assert refused.value.line is not None
    assert json.loads(refused.value.line.key) == message["id"]


@pytest.mark.parametrize("inside", [b"{" * wire.LONG, b"[" * 1_000_000, b"[{" + b"?" * wire.LONG + b"\\ud83d"])
def test_a_long_line_that_is_no_json_is_refused_with_the_id_at_its_end(inside: bytes) -> None:
    """However deep it goes."""
    with pytest.raises(wire.NotAMessageError, match="Parse error") as refused:
        wire.read_strictly(b'{"method":"tools/call","params":{' + inside + b',"jsonrpc":"2.0","id":8}\n')
    assert refused.value.line is not None
    assert refused.value.line.key == "8"


@pytest.mark.parametrize("padding", ["", "x" * wire.LONG], ids=["short", "long"])
@pytest.mark.parametrize(
    "message",
    [call(params=None), call(params={"name": "\U0001f600"}), call(params={"name": nested(98)}), call(id=10**20)],
)
def test_what_a_server_reads_is_not_refused(message: dict[str, object], padding: str) -> None:
    """However unusual it is; a whole character may be written as two halves."""
    raw = json.dumps({**message, "more": padding}).encode()
    assert wire.read_strictly(raw).is_request
    types.jsonrpc_message_adapter.validate_json(raw, by_name=False)
