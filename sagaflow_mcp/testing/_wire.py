"""The Messages API on the wire: a reply as one message or as the events of a stream."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sagaflow_mcp.testing._script import Body, ToolUse

PIECES = 8
"""In how many pieces a streamed text comes, at most."""

Event = dict[str, Any]


def complaint(body: object) -> str:
    """Why the real API would refuse a request as malformed; empty when it would not."""
    if not isinstance(body, dict):
        return "the request body is not a JSON object"
    if not (isinstance(body.get("model"), str) and body["model"]):
        return "model: a non-empty string is required"
    limit = body.get("max_tokens")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        return "max_tokens: a positive integer is required"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(each, dict) for each in messages):
        return "messages: a non-empty list of objects is required"
    if not all(each.get("content") for each in messages):
        return "messages: text content must not be empty"
    return ""


def message(
    body: Body, text: str, tools: Sequence[ToolUse], *, stop_reason: str, usage: Mapping[str, int]
) -> dict[str, Any]:
    """A whole reply to `body`."""
    blocks: list[dict[str, Any]] = [{"type": "text", "text": text}] if text or not tools else []
    blocks += [
        {"type": "tool_use", "id": f"toolu_{uuid.uuid4().hex[:24]}", "name": tool.name, "input": dict(tool.input)}
        for tool in tools
    ]
    return {
        "id": f"msg_{uuid.uuid4().hex[:24]}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": blocks,
        "stop_reason": stop_reason or ("tool_use" if tools else "end_turn"),
        "stop_sequence": None,
        "usage": {
            "input_tokens": _tokens([body.get("system"), body["messages"], body.get("tools")]),
            "output_tokens": _tokens(blocks),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            **usage,
        },
    }


def opening(whole: Mapping[str, Any]) -> Event:
    """The event that a stream of the message `whole` begins with."""
    usage = {**whole["usage"], "output_tokens": 1}
    return {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None, "usage": usage}}


def events(whole: Mapping[str, Any]) -> Iterator[Event]:
    """The events that follow the opening."""
    for index, block in enumerate(whole["content"]):
        if block["type"] == "text":
            start, kind, text = {**block, "text": ""}, "text", block["text"]
        else:
            start, kind, text = {**block, "input": {}}, "input_json", json.dumps(block["input"])
        yield {"type": "content_block_start", "index": index, "content_block": start}
        member = "text" if kind == "text" else "partial_json"
        for piece in _pieces(text):
            yield {"type": "content_block_delta", "index": index, "delta": {"type": f"{kind}_delta", member: piece}}
        yield {"type": "content_block_stop", "index": index}
    delta = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": whole["usage"]["output_tokens"]}}
    yield {"type": "message_stop"}


def error(kind: str, text: str) -> Event:
    """A failure, which is the same as a body and as an event."""
    return {"type": "error", "error": {"type": kind, "message": text}}


def encoded(event: Event) -> bytes:
    """`event` as a server-sent event."""
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _pieces(text: str) -> list[str]:
    size = max(1, -(-len(text) // PIECES))
    return [text[at : at + size] for at in range(0, len(text), size)]


def _tokens(value: object) -> int:
    """A rough count: a token is about four characters."""
    return max(1, len(json.dumps(value)) // 4)
