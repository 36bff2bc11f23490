"""An MCP server over stdio that behaves as it is told: `odd_mcp_server.py [MANNER …]`. With the standard library alone.

Manners: `mute` never answers, `noise` says what is no MCP, `crash` ends at once, `chatter` says something, but
never answers, `many` lists 10,000 tools, `endless` never comes to the end of its list.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

OBJECT = {"type": "object", "properties": {"text": {"type": "string"}}}

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

TOOLS = [
    {"name": "echo", "description": "Say it again.", "inputSchema": OBJECT, "annotations": {"readOnlyHint": True}},
    {"name": "count", "inputSchema": OBJECT},
    {"name": "a.b/c", "inputSchema": OBJECT},
    {"name": "a_b_c", "inputSchema": OBJECT},
    {"name": "long" * 40, "inputSchema": OBJECT},
    {"name": "large", "inputSchema": {**OBJECT, "description": "x" * 1_000_000}},
    {"name": "half \ud800", "description": "half \ud800" + "y" * 5_000, "inputSchema": {**OBJECT, "anyOf": [{}]}},
    *({"name": name, "inputSchema": OBJECT} for name in ("big", "hang", "die", "half", "image", "fail", "wrong")),
]


def say(line: str) -> None:
    """Write a line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def text(said: str, *, is_error: bool = False) -> dict[str, Any]:
    """A result."""
    return {"content": [{"type": "text", "text": said}], "isError": is_error}


def called(name: str, given: dict[str, Any], calls: int) -> dict[str, Any]:
    """What a tool says."""
    if name == "hang":
        if given.get("text") == "until told":
            json.loads(sys.stdin.readline())
            return text("late")
        time.sleep(600)
    if name == "die":
        sys.exit("Error: I have had enough")
    if name == "image":
        blob = {"uri": "file:///a.bin", "mimeType": "application/x-odd", "blob": "AAEC"}
        image = {"type": "image", "data": PIXEL, "mimeType": "image/png"}
        link = {"type": "resource_link", "uri": "https://a.test/x", "name": "x"}
        return {"content": [image, {"type": "resource", "resource": blob}, link]}
    if name == "wrong":
        return {"content": "no list"}
    if name == "count" and given.get("text") == "as data":
        return {"content": [], "structuredContent": {"calls": calls}}
    said = {
        "big": "b" * 50_000_000,
        "half": "half \ud800",
        "count": str(calls),
        "fail": "no such thing",
        "a.b/c": "odd name",
    }
    return text(said.get(name, given.get("text", "")), is_error=name == "fail")


def page(cursor: str, manner: set[str]) -> dict[str, Any]:
    """A part of the list of tools."""
    if "endless" in manner:
        return {"tools": [], "nextCursor": "again"}
    if "many" not in manner:
        return {"tools": TOOLS}
    first = int(cursor or 0)
    tools = [{"name": f"t{number}", "inputSchema": OBJECT} for number in range(first, first + 1_000)]
    return {"tools": tools, **({"nextCursor": str(first + 1_000)} if first < 9_000 else {})}


def main() -> None:
    """Answer until there is nothing more to read."""
    manner, calls = set(sys.argv[1:]), 0
    if "ODD_PID" in os.environ:
        with Path(os.environ["ODD_PID"]).open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()}\n")
    if "crash" in manner:
        sys.exit("something before\nValueError: it cannot work\nSome.js v1")
    for line in sys.stdin:
        asked = json.loads(line)
        if manner & {"mute", "chatter"} or "id" not in asked:
            sys.stdout.write("ready soon\n" * ("chatter" in manner))
            sys.stdout.flush()
            continue
        if "noise" in manner:
            say("noise\n" * 2_000)
            continue
        answer: dict[str, Any] = {}
        if asked["method"] == "initialize":
            version = asked["params"]["protocolVersion"]
            answer["result"] = {
                "protocolVersion": version,
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "odd", "version": "1"},
            }
        elif asked["method"] == "tools/list":
            answer["result"] = page(asked.get("params", {}).get("cursor", ""), manner)
        elif asked["method"] == "tools/call":
            calls += 1
            given = asked["params"]
            answer["result"] = called(given["name"], given.get("arguments") or {}, calls)
        elif asked["method"] == "ping":
            answer["result"] = {}
        else:
            answer["error"] = {"code": -32601, "message": "no such method"}
        say(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **answer}))


if __name__ == "__main__":
    main()
