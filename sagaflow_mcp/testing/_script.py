r"""The script of the offline model: an ordered list of rules, in Python or as JSON.

    [
      {"match": "Greet (\\w+)", "reply": "GREETING: hello, ${1}"},
      {"match": "weather", "tools": [{"name": "weather", "input": {"city": "Oslo"}}], "times": 1},
      {"match": "slow", "reply": "at last", "hold": "gate"},
      {"error": {"status": 429, "type": "rate_limit_error", "message": "slow down", "retry_after": 2}}
    ]

The first rule that matches and is not used up answers; without one the last user text comes back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

Body = Mapping[str, Any]
"""A request's JSON."""

Reply = str | Mapping[str, Any] | list[Any]
"""A text, in which `${1}` or `${name}` stand for groups of `match`; or JSON, which is sent as its text."""


@dataclass(frozen=True, kw_only=True)
class Error:
    """A failure in the provider's words."""

    status: int = 529
    type: str = "overloaded_error"
    message: str = "Overloaded"
    retry_after: float | str | None = None
    """Seconds or an HTTP date for the `retry-after` header."""
    midway: bool = False
    """Whether a streamed reply begins first, so that the failure comes as an event in it."""


@dataclass(frozen=True, kw_only=True)
class ToolUse:
    """A call of one of the request's tools; it is written in words where the tools are told so."""

    name: str
    input: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What to answer to which request."""

    match: str = ""
    """A regular expression searched for in the system prompt and the last user message."""
    reply: Reply | Callable[[Body], Reply] | None = None
    """None repeats the last user text, unless there are `tools`. A function has no place in JSON."""
    tools: tuple[ToolUse, ...] = ()
    error: Error | None = None
    drop: bool = False
    """Whether the connection is cut in mid-reply."""
    delay_seconds: float = 0.0
    hold: str = ""
    """The name of a gate: the reply waits until it is released."""
    times: int | None = None
    """How many requests the rule answers; None for any number."""
    stop_reason: str = ""
    """Empty for what the reply entails: `end_turn` or `tool_use`."""
    usage: Mapping[str, int] = field(default_factory=dict)
    """Token counts that take the place of the estimates, such as `{"cache_read_input_tokens": 100}`."""

    def __post_init__(self) -> None:
        try:
            re.compile(self.match)
        except (re.error, TypeError) as error:
            raise ValueError(f"a rule's match {self.match!r} is not a regular expression: {error}") from None

    @classmethod
    def parse(cls, given: object) -> Rule:
        """The rule that a JSON object describes. ValueError with the reason when it is none."""
        values = _known(cls, given)
        if not isinstance(tools := values.get("tools", []), (list, tuple)):
            raise ValueError(f"a rule's tools are {tools!r}, which is not a list")  # noqa: TRY004 - as documented
        if error := values.get("error"):
            values["error"] = Error(**_known(Error, error))
        values["tools"] = tuple(ToolUse(**_known(ToolUse, tool)) for tool in tools)
        return cls(**values)

    def found(self, body: Body) -> re.Match[str] | None:
        """Where `match` is found in a request, if it is."""
        return re.search(self.match, f"{text_of(body.get('system'))}\n{last_user_text(body)}")

    def text(self, body: Body, found: re.Match[str]) -> str:
        """The text to answer to a request that matched."""
        reply = self.reply(body) if callable(self.reply) else self.reply
        if reply is None:
            return "" if self.tools else default_text(body)
        if not isinstance(reply, str):
            return json.dumps(reply, ensure_ascii=False)
        return re.sub(r"\$\{(\w+)\}", lambda place: _group(found, place), reply)


def script(text: str) -> list[Rule]:
    """The rules in a JSON list. ValueError with the reason when there is something else."""
    given = json.loads(text)
    if not isinstance(given, list):
        raise ValueError(f"a script is a list of rules, not {type(given).__name__}")  # noqa: TRY004 - as documented
    return [Rule.parse(rule) for rule in given]


def last_user_text(body: Body) -> str:
    """The text of the last user message, tool results included."""
    said = [message for message in body.get("messages", []) if message.get("role") == "user"]
    return text_of(said[-1].get("content")) if said else ""


def default_text(body: Body) -> str:
    """What is answered without a rule: the last user text, or an instance of the schema that was asked for."""
    wanted = body.get("output_config", {}).get("format", {})
    if wanted.get("type") != "json_schema":
        return last_user_text(body) or "ok"
    schema = wanted.get("schema", {})
    return json.dumps(_instance(schema, schema.get("$defs", {})))


def _instance(schema: Mapping[str, Any], definitions: Mapping[str, Any], depth: int = 0) -> Any:
    """A small value that fits the usual kinds of JSON schema."""
    if "$ref" in schema:
        schema = definitions.get(schema["$ref"].rpartition("/")[2], {})
    for choice in ("enum", "anyOf", "oneOf"):
        if options := schema.get(choice):
            return options[0] if choice == "enum" else _instance(options[0], definitions, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("type") == "object" and depth < 8:  # noqa: PLR2004 - ends a schema that holds itself
        members = schema.get("properties", {}).items()
        return {name: _instance(member, definitions, depth + 1) for name, member in members}
    return {"object": {}, "array": [], "integer": 0, "number": 0, "boolean": False, "null": None}.get(
        schema.get("type", "string"), "text"
    )


def text_of(content: object) -> str:
    """The text in a system prompt, a message's content or a tool result."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    return "\n".join(text_of(block.get("text") or block.get("content")) for block in blocks if isinstance(block, dict))


def _group(found: re.Match[str], place: re.Match[str]) -> str:
    """The group of `found` that a `${...}` names; the `${...}` itself when there is none."""
    name = place[1]
    try:
        return found[int(name) if name.isdigit() else name] or ""
    except IndexError:
        return place[0]


def _known(kind: type, given: object) -> dict[str, Any]:
    """The members of a JSON object that describes a `kind`. ValueError when it is none or has others."""
    if not isinstance(given, dict):
        raise ValueError(f"{given!r} is not a JSON object that describes a {kind.__name__}")  # noqa: TRY004 - as documented
    known = {each.name for each in fields(kind)}
    if unknown := sorted(given.keys() - known):
        raise ValueError(f"{kind.__name__} has no field {unknown[0]!r}; it has {', '.join(sorted(known))}")
    return dict(given)
