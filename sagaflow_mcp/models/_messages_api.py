"""The transport to Anthropic's Messages API, or to a gateway that speaks it."""

from __future__ import annotations

import contextlib
import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urlsplit

import anthropic

from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.models._types import (
    CUT_OFF,
    DEFAULT_MODELS,
    IncompleteReply,
    ModelReply,
    ModelRequest,
    in_words,
    model_id,
    whole_characters,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from anthropic.types import (
        MessageDeltaUsage,
        MessageParam,
        OutputConfigParam,
        RawMessageStreamEvent,
        ToolUnionParam,
        Usage,
    )

DEFAULT_BASE_URL = "https://api.anthropic.com"
"""Where the API is unless `ANTHROPIC_BASE_URL` says otherwise."""

TIMEOUT = anthropic.Timeout(120.0, connect=10.0)
"""Seconds to connect, and without a single byte: the API sends pings while the model thinks."""

CLIENTS_KEPT = 8
"""Idle clients kept with their open connections, one per key and address."""

TOKENS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_input_tokens",
    "cache_creation_tokens": "cache_creation_input_tokens",
}
"""What a reply counts: the field of `ModelReply`, and the provider's name for it."""

NO_PROXY = dict.fromkeys(("all://127.0.0.1", "all://localhost", "all://[::1]"))
"""This machine is reached directly even where the environment names a proxy, which could not reach it."""


class _Access(NamedTuple):
    """A checked address and exactly one of the two kinds of key."""

    base_url: str
    api_key: str | None
    auth_token: str | None


@dataclass
class _Client:
    client: anthropic.AsyncAnthropic
    calls: int = 0


class MessagesApi:
    """A transport that streams each reply; belongs to one event loop."""

    def __init__(self, models: Mapping[str, str] = DEFAULT_MODELS) -> None:
        self._models = {**DEFAULT_MODELS, **models}
        self._clients: OrderedDict[_Access, _Client] = OrderedDict()

    async def complete(self, request: ModelRequest, *, credentials: Mapping[str, str]) -> ModelReply:
        """The model's whole reply; cancelling the call closes its connection, which stops the model.

        Raises:
            Refusal: the tier is unknown, or `credentials` have no usable `ANTHROPIC_API_KEY` (or
                `ANTHROPIC_AUTH_TOKEN`) or `ANTHROPIC_BASE_URL`.
            IncompleteReply: the reply broke off or could not be read.
            anthropic.AnthropicError: the provider refused the call or could not be reached.
            httpx2.TransportError: the connection broke while the reply came in.
        """
        try:
            return await self._complete(request, credentials)
        except anthropic.BadRequestError as error:
            # Some gateways and older models know no structured output.
            if request.schema is None or not _is_about_the_schema(error):
                raise
            return await self._complete(in_words(request), credentials)

    async def _complete(self, request: ModelRequest, credentials: Mapping[str, str]) -> ModelReply:
        model = model_id(request, self._models)
        async with self._client(_access(credentials)) as client:
            # Not messages.stream(): it builds the whole message anew with each event, which cost a third of the call.
            stream = await client.messages.create(
                model=model,
                max_tokens=request.max_tokens,
                system=request.system or anthropic.omit,
                messages=_messages(request),
                tools=cast("Iterable[ToolUnionParam]", request.tools) if request.tools else anthropic.omit,
                cache_control={"type": "ephemeral"} if request.messages else anthropic.omit,
                output_config=_output_config(request),
                stream=True,
            )
            async with stream:
                return await _received(stream)

    async def close(self) -> None:
        """Close every client; calls that are still running fail."""
        while self._clients:
            _, kept = self._clients.popitem()
            await kept.client.close()

    @contextlib.asynccontextmanager
    async def _client(self, access: _Access) -> AsyncIterator[anthropic.AsyncAnthropic]:
        """The client for `access`, kept for the next call; the longest unused ones are closed beyond a limit."""
        kept = self._clients.get(access) or self._add(access)
        self._clients.move_to_end(access)
        kept.calls += 1
        try:
            yield kept.client
        finally:
            kept.calls -= 1
            idle = [key for key, other in self._clients.items() if not other.calls]
            for key in idle[: max(0, len(self._clients) - CLIENTS_KEPT)]:
                await self._clients.pop(key).client.close()

    def _add(self, access: _Access) -> _Client:
        kept = self._clients[access] = _Client(_new_client(access))
        return kept


def _access(credentials: Mapping[str, str]) -> _Access:
    """The checked credentials; empty means unset, and a key goes before a token. Refusal when they cannot be used."""
    base_url = credentials.get("ANTHROPIC_BASE_URL", "").strip() or DEFAULT_BASE_URL
    address = urlsplit(base_url)
    if address.scheme not in {"http", "https"} or not address.hostname:
        # Not shown: an address may carry a password.
        raise Refusal("ANTHROPIC_BASE_URL is not an http:// or https:// address; correct it, or unset it")
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        key = credentials.get(name, "").strip()
        if not key:
            continue
        if not (key.isascii() and key.isprintable() and " " not in key):
            # The HTTP library would refuse it too, with an error that shows the key.
            raise Refusal(f"{name} holds a space, a line break or a character that no key has; set it again")
        is_key = name == "ANTHROPIC_API_KEY"
        return _Access(base_url, key if is_key else None, None if is_key else key)
    raise Refusal("no credentials for the Messages API: set ANTHROPIC_API_KEY where you launch from")


def _new_client(access: _Access) -> anthropic.AsyncAnthropic:
    client = anthropic.AsyncAnthropic(
        api_key=access.api_key,
        auth_token=access.auth_token,
        base_url=access.base_url,
        webhook_key="",
        timeout=TIMEOUT,
        max_retries=0,  # Retries belong to Temporal alone: two layers of them multiply.
        http_client=anthropic.DefaultAsyncHttpxClient(mounts=NO_PROXY),
    )
    # The client adds ANTHROPIC_CUSTOM_HEADERS of this process's environment, which may replace the key. No argument
    # turns that off.
    client._custom_headers = {}  # noqa: SLF001
    return client


def _messages(request: ModelRequest) -> Iterable[MessageParam]:
    return cast("Iterable[MessageParam]", request.messages or [{"role": "user", "content": request.user}])


def _output_config(request: ModelRequest) -> OutputConfigParam | anthropic.Omit:
    """What asks for a reply that fits the schema; the provider takes some of JSON schema's keywords only in words."""
    if request.schema is None:
        return anthropic.omit
    return {"format": {"type": "json_schema", "schema": anthropic.transform_schema(dict(request.schema))}}


def _is_about_the_schema(error: anthropic.BadRequestError) -> bool:
    """Whether the provider refused the call for how the reply was to look."""
    return any(word in str(error) for word in ("output_config", "output_format", "json_schema", "schema"))


async def _received(stream: AsyncIterator[RawMessageStreamEvent]) -> ModelReply:
    """The reply, once its last event has come. IncompleteReply when it does not come or makes no sense."""
    coming = _Coming()
    try:
        # To the end of the stream, not to its last event: only a connection read to its end is used again.
        async for event in stream:
            coming.hear(event)
        return coming.reply()
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        # The client hands on what it was sent, unchecked.
        raise IncompleteReply("the model's reply could not be read: the provider sent a malformed event") from error


class _Coming:
    """A reply that comes in, event by event."""

    def __init__(self) -> None:
        self._blocks: dict[int, dict[str, Any]] = {}
        self._pieces: dict[int, list[str]] = {}
        self._model = ""
        self._stop_reason: str | None = None
        self._tokens: dict[str, int] = {}
        self._is_whole = False

    def hear(self, event: RawMessageStreamEvent) -> None:
        """Take in one event. AttributeError, KeyError or TypeError when it is malformed."""
        match event.type:
            case "message_start":
                self._model = event.message.model
                self._count(event.message.usage)
            case "content_block_start":
                self._blocks[event.index] = event.content_block.to_dict()
                self._pieces[event.index] = []
            case "content_block_delta" if event.delta.type == "text_delta":
                self._pieces[event.index].append(event.delta.text)
            case "content_block_delta" if event.delta.type == "input_json_delta":
                self._pieces[event.index].append(event.delta.partial_json)
            case "message_delta":
                self._stop_reason = event.delta.stop_reason
                self._count(event.usage)
            case "message_stop":
                self._is_whole = True

    def _count(self, usage: Usage | MessageDeltaUsage) -> None:
        """Take over what is counted: in an event, each figure is the total so far, or left out."""
        for name in TOKENS.values():
            count = getattr(usage, name, None)
            if count is not None:
                self._tokens[name] = count

    def reply(self) -> ModelReply:
        """The whole reply.

        Raises:
            IncompleteReply: it is none yet.
            KeyError, TypeError, ValueError: it makes no sense.
        """
        if not self._is_whole or self._stop_reason is None:
            raise IncompleteReply("the model's reply ended before it was complete")
        content = [block for index in sorted(self._blocks) if (block := self._block(index))]
        text = "".join(block["text"] for block in content if block["type"] == "text")
        counts: dict[str, Any] = {field: self._tokens.get(name, 0) for field, name in TOKENS.items()}
        return ModelReply(text, self._model, self._stop_reason, **counts, content=content)

    def _block(self, index: int) -> dict[str, Any] | None:
        """A text or the call of a tool, as it is sent back; None for anything else, and for a call that was cut off."""
        block, said = self._blocks[index], "".join(self._pieces[index])
        if block["type"] == "text":
            text = whole_characters(block["text"] + said)
            return {"type": "text", "text": text} if text else None
        if block["type"] != "tool_use" or (self._stop_reason in CUT_OFF and not _is_json(said)):
            return None
        return _tool_use(block["id"], block["name"], said or "{}")


def _tool_use(id: str, name: str, given: str) -> dict[str, Any]:
    """The call of a tool with the input `given`. ValueError when the provider would not take it back as one."""
    call = {"type": "tool_use", "id": id, "name": name, "input": json.loads(given)}
    if not (isinstance(id, str) and isinstance(name, str) and isinstance(call["input"], dict)):
        raise ValueError("a tool call needs an id, a name and an object as input")  # noqa: TRY004 - as documented
    whole: dict[str, Any] = json.loads(whole_characters(json.dumps(call, ensure_ascii=False, allow_nan=False)))
    return whole


def _is_json(text: str) -> bool:
    try:
        json.loads(text or "{}")
    except ValueError:
        return False
    return True
