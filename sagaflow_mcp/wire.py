"""Lines of JSON-RPC: what one is, without reading the whole of a long one, and those that the launcher says itself."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

METHOD_NOT_FOUND = -32601
INTERNAL_ERROR = -32603
INVALID_REQUEST = -32600
PARSE_ERROR = -32700
UNSUPPORTED_VERSION = -32022

VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
"""In the `_meta` of every request since protocol 2026-07-28, and of none before."""

SUBSCRIPTION_KEY = "io.modelcontextprotocol/subscriptionId"

LONG = 65_536
"""From this many bytes on, a line is looked at from its ends: parsing it would take longer than passing it on."""

_ID = rb'(?P<id>-?[0-9]{1,18}|"[^"\\]{0,200}")'

_HEADS = (
    # As Python's SDK writes a response; the result itself is nobody's business here.
    re.compile(rb'\{"jsonrpc": ?"2\.0", ?"id": ?' + _ID + rb', ?"(?P<kind>result|error)":'),
    re.compile(rb'\{"jsonrpc": ?"2\.0", ?"id": ?' + _ID + rb', ?"method": ?"(?P<method>[^"\\]+)", ?"params": ?\{'),
)

_METHOD_FIRST = re.compile(rb'\{"method": ?"(?P<method>[^"\\]+)", ?"params": ?\{')
"""As TypeScript's SDK begins a request; its id comes last, after the parameters."""

_ID_LAST = re.compile(rb', ?"jsonrpc": ?"2\.0", ?"id": ?' + _ID + rb"\}\s*\Z")
"""Nothing of a string can match to the very end of valid JSON: this is the outermost object's own id."""

DEEPEST = 100
"""How deep a message may be nested. Python's SDK reads 200 levels, and does not answer what it does not read."""

_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
"""Half of a character, or one of the halves of a whole one."""


class NotAMessageError(ValueError):
    """A line that is none: the error's code and its sentence, and the line as far as it can be read."""

    def __init__(self, code: int, sentence: str, line: Line | None = None) -> None:
        super().__init__(sentence)
        self.code = code
        self.line = line


class Line:
    """One message. `method` is empty for a response, `key` for a notification.

    `key` is the id as JSON text, so that 1 and "1" are two; what a line is depends on whether it has a method, never on
    its id, since both sides count from 1.
    """

    __slots__ = ("_body", "key", "method", "raw")

    def __init__(self, raw: bytes, method: str, key: str, body: Mapping[str, Any] | None = None) -> None:
        self.raw = raw
        self.method = method
        self.key = key
        self._body = body

    @property
    def is_request(self) -> bool:
        """Whether it wants an answer."""
        return bool(self.method and self.key)

    @property
    def body(self) -> Mapping[str, Any]:
        """The whole message; parsed when it is first asked for, which takes its time with a long line."""
        if self._body is None:
            self._body = json.loads(self.raw)
        return self._body

    @property
    def params(self) -> Mapping[str, Any]:
        """Its parameters; empty when it has none."""
        found = self.body.get("params")
        return found if isinstance(found, dict) else {}

    @property
    def meta(self) -> Mapping[str, Any]:
        """The `_meta` of its parameters; empty when there is none."""
        found = self.params.get("_meta")
        return found if isinstance(found, dict) else {}


def read(raw: bytes) -> Line:
    """The message in the line `raw`; NotAMessageError when it is none."""
    return (_glimpse(raw) if len(raw) >= LONG else None) or _parsed(raw)


def _parsed(raw: bytes) -> Line:
    try:
        # Not the bytes, of which Python would take other encodings too.
        body = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError):
        raise NotAMessageError(PARSE_ERROR, "Parse error") from None
    if not isinstance(body, dict):
        raise NotAMessageError(INVALID_REQUEST, "Invalid Request: one JSON object a line is what this server reads")
    method, has_id = body.get("method", ""), "id" in body
    if not isinstance(method, str) or (has_id and type(body["id"]) not in {int, str}) or not (method or has_id):
        raise NotAMessageError(INVALID_REQUEST, "Invalid Request")
    return Line(raw, method, json.dumps(body["id"]) if has_id else "", body)


def read_strictly(raw: bytes) -> Line:
    """As `read`; NotAMessageError also for what servers do not read, who would leave it without an answer."""
    line = _glimpse(raw) if len(raw) >= LONG else None
    if line is not None and raw.count(b"{") + raw.count(b"[") <= DEEPEST and not _HALF.search(raw):
        return line
    try:
        whole = _parsed(raw)
    except NotAMessageError as refused:
        raise NotAMessageError(refused.code, str(refused), line) from None
    trouble = _trouble(whole)
    if trouble:
        raise NotAMessageError(INVALID_REQUEST, f"Invalid Request: {trouble}", whole)
    return whole


def _trouble(line: Line) -> str:
    if line.body.get("jsonrpc") != "2.0":
        return 'its "jsonrpc" must be "2.0"'
    if line.method and not isinstance(line.body.get("params", {}), (dict, type(None))):
        return "its params must be an object"
    if _is_too_deep(line.body):
        return f"it is nested more than {DEEPEST} levels deep; send less deep what is in it"
    if _HALF.search(line.raw):
        try:
            json.dumps(line.body, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            return "a text in it has half of a character, a surrogate without the other one; send the character whole"
    return ""


def _is_too_deep(body: Mapping[str, Any]) -> bool:
    level: list[Any] = [body]
    for _ in range(DEEPEST):
        found = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, (dict, list))]
        level = [inner for each in found for inner in each]
    return any(isinstance(each, (dict, list)) for each in level)


def _glimpse(raw: bytes) -> Line | None:
    head = raw[:512]
    for pattern in _HEADS:
        found = pattern.match(head)
        if found:
            method = found.groupdict().get("method") or b""
            return Line(raw, method.decode("utf-8", "replace"), _canonical(found["id"]))
    begun, ended = _METHOD_FIRST.match(head), _ID_LAST.search(raw[-512:])
    if begun and ended:
        return Line(raw, begun["method"].decode("utf-8", "replace"), _canonical(ended["id"]))
    return None


def _canonical(text: bytes) -> str:
    return json.dumps(json.loads(text))


def _dump(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


def result(key: str, content: Mapping[str, Any]) -> bytes:
    """The answer `content` to the request `key`."""
    return _dump({"jsonrpc": "2.0", "id": json.loads(key), "result": content})


def error(key: str, code: int, sentence: str, data: Any = None) -> bytes:
    """A refusal of the request `key`; an empty key is one that could not be read."""
    told = {"code": code, "message": sentence} if data is None else {"code": code, "message": sentence, "data": data}
    return _dump({"jsonrpc": "2.0", "id": json.loads(key or "null"), "error": told})


def failed_call(key: str, sentence: str, *, modern: bool) -> bytes:
    """The answer to the tool call `key` that it failed: a result, which the model gets to read, and no error."""
    content: dict[str, Any] = {"content": [{"type": "text", "text": sentence}], "isError": True}
    return result(key, {**content, "resultType": "complete"} if modern else content)


def notification(method: str, params: Mapping[str, Any]) -> bytes:
    """A message that wants no answer."""
    return _dump({"jsonrpc": "2.0", "method": method, "params": params})


def with_id(body: Mapping[str, Any], request_id: Any) -> bytes:
    """The message `body` under another id."""
    return _dump({**body, "id": request_id})
