"""What the launcher does with lines that no server would answer."""

from __future__ import annotations

import json

from sagaflow_mcp.manifest import Manifest
from sagaflow_mcp.relay import Relay

HALF = "\ud83d"
"""Half of a character, as a client has it that has cut a text."""


def line(**fields: object) -> bytes:
    """A message."""
    return json.dumps({"jsonrpc": "2.0", **fields}).encode() + b"\n"


def test_a_call_that_the_server_would_not_read_is_answered() -> None:
    """With its own id, and the server does not get it."""
    relay = Relay(Manifest.load())
    relay.server_started()
    relay.from_client(line(id=7, method="tools/call", params={"name": HALF}))
    (told,) = map(json.loads, relay.to_client)
    assert (told["id"], "half of a character" in told["error"]["message"]) == (7, True)
    assert relay.to_server == []


def test_an_answer_that_the_server_would_not_read_is_one_that_it_hears_of() -> None:
    """It waits for the answer to what it has asked, under the id that it knows; nobody waits for a notification."""
    relay = Relay(Manifest.load())
    relay.server_started()
    relay.server_ended("for another one")
    relay.server_started()
    relay.from_server(line(id=7, method="elicitation/create", params={}))
    alias = json.loads(relay.to_client.pop())["id"]
    assert alias != 7
    relay.from_client(line(id=alias, result={"content": HALF}))
    relay.from_client(line(method="notifications/progress", params={"message": HALF}))
    (told,) = map(json.loads, relay.to_server)
    assert (told["id"], "half of a character" in told["error"]["message"]) == (7, True)
    assert relay.to_client == []
