"""What goes to a model and what comes back, whichever transport carries it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sagaflow_mcp.errors import Failure, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta


class Tier(StrEnum):
    """How capable a model a step wants, leaving the choice of the model to the configuration."""

    HAIKU = "HAIKU"
    SONNET = "SONNET"
    OPUS = "OPUS"


DEFAULT_MODELS: Mapping[str, str] = MappingProxyType(
    {Tier.HAIKU: "claude-haiku-5-5", Tier.SONNET: "claude-sonnet-5-5", Tier.OPUS: "claude-opus-5-5"}
)
"""The model id of each tier, unless the configuration says otherwise."""


CUT_OFF = frozenset({"max_tokens", "model_context_window_exceeded"})
"""The stop reasons of a reply that is not whole."""


@dataclass(frozen=True)
class ModelRequest:
    """One call: a system prompt, and one user message or a whole conversation."""

    tier: str
    """The name of a `Tier`, in any case."""
    system: str
    """Empty for none."""
    user: str
    max_tokens: int
    schema: Mapping[str, Any] | None = None
    """The JSON schema of the object to reply with; None for a text."""
    messages: Sequence[Mapping[str, Any]] = ()
    """The conversation so far, as the Messages API has it; empty where `user` is all of it."""
    tools: Sequence[Mapping[str, Any]] = ()
    """The tools that the model may call, as the Messages API has them."""
    session: str = ""
    """A UUID of the step or the conversation, the same in each attempt, for a transport that has sessions."""
    place: Mapping[str, Any] | None = None
    """Where the conversation stands in such a session, as the reply before said; None where it stands in none."""
    folder: str = "/"
    """Where a transport that runs a command runs it."""


@dataclass(frozen=True)
class ModelReply:
    """What the model answered, and what it cost in tokens."""

    text: str
    """All text of the reply, joined."""
    model: str
    """The model id that the provider says has answered."""
    stop_reason: str
    """Why the reply ends: `end_turn`; `max_tokens` when it was cut; others as the provider names them."""
    input_tokens: int
    """Without those read from or written to the cache."""
    output_tokens: int
    cache_read_tokens: int
    cache_creation_tokens: int
    content: Sequence[Mapping[str, Any]] = ()
    """The reply's whole blocks, as a conversation goes on with them; may be empty where there is no conversation."""
    place: Mapping[str, Any] | None = None
    """For the next request of the conversation, where the transport has sessions."""
    cost_usd: float | None = None
    """What the call has cost in US dollars, where the transport says so."""


MALFORMED = "malformed_call"
"""What the call of a tool is named that makes no sense; its input has the `problem`, for the model to read."""


class Transport(Protocol):
    """A way to reach a model."""

    async def complete(self, request: ModelRequest, *, credentials: Mapping[str, str]) -> ModelReply:
        """The model's whole reply; cancelling the call stops the model.

        `credentials` are environment names and values, such as `ANTHROPIC_API_KEY`; nothing is taken from the process's
        own environment.

        Any exception may come out: `verdict` says what it means.
        """


class Verdict(NamedTuple):
    """What a failed call means for the step that made it."""

    retryable: bool
    """Whether the same call may succeed later."""
    type: str
    """The provider's name for the error where it has one, such as `rate_limit_error`."""
    sentence: str
    """One line for the user; holds no key."""
    retry_after: timedelta | None
    """How long the provider asked to be left alone."""


class IncompleteReply(Failure):
    """The model's reply ended before it was complete."""


class CommandError(Failure):
    """The `claude` command failed; `status` is the HTTP status that this amounts to."""

    def __init__(self, status: int, type: str, said: str) -> None:
        super().__init__(said)
        self.status = status
        self.type = type


def model_id(request: ModelRequest, models: Mapping[str, str] = DEFAULT_MODELS) -> str:
    """The model id that `request` asks for. Refusal when its tier is not in `models`."""
    try:
        return models[request.tier.upper()]
    except KeyError:
        raise Refusal(f"model tier {request.tier!r} is not one of {', '.join(models)}") from None


def in_words(request: ModelRequest) -> ModelRequest:
    """`request` with its schema asked for in the prompt, for where the provider takes none."""
    if request.schema is None:
        return request
    wanted = f"Reply with nothing but one JSON object that fits this schema: {json.dumps(request.schema)}"
    return replace(request, user=f"{request.user}\n\n{wanted}", schema=None)


def whole_characters(text: str) -> str:
    """`text` with the halves of characters joined, and in place of one that is alone a mark: it could not be sent."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
