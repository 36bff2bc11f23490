"""The transport that asks the `claude` command, for people who have a Claude Code login and no key.

Each step and each agent's conversation has a session of Claude Code whose id is known before the call, so that an
attempt after a crash goes on with it; each turn of a conversation sends only what is new. Nothing of the user's Claude
Code takes part but its login and its settings: no plugins, hooks, MCP servers, tools or memory files. An agent's tools
are Sagaflow's own, told and called in words.
"""

from __future__ import annotations

import dataclasses
import os
import uuid
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from sagaflow_mcp import child_environ
from sagaflow_mcp import credentials as credential_names
from sagaflow_mcp.models import _claude_process, _tools_in_text
from sagaflow_mcp.models._types import DEFAULT_MODELS, ModelReply, ModelRequest, in_words, model_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sagaflow_mcp.models._claude_outcome import Outcome

OPTIONS = (
    *("-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages"),
    *("--safe-mode", "--strict-mcp-config", "--disable-slash-commands", "--tools", ""),
)
"""Known to Claude Code 2.1.197 and later. No option here grants a permission: without tools none is needed."""

GO_ON = MappingProxyType({"CLAUDE_CODE_RESUME_INTERRUPTED_TURN": "1"})
"""Has the command take up a turn that was cut off by a crash, as if nothing had happened."""


class _Way(NamedTuple):
    """One way to have a request answered."""

    options: tuple[str, ...]
    said: str
    """What the command is given to read."""
    environ: Mapping[str, str] = MappingProxyType({})
    goes_on: bool = False
    """Whether a session is gone on with: another version of the command may have begun it, or it may be at its end."""
    cost_before: float = 0.0
    """Of the session, in US dollars."""


class ClaudeCommand:
    """A transport that runs `claude` once for each call."""

    def __init__(self, models: Mapping[str, str] = DEFAULT_MODELS) -> None:
        self._models = {**DEFAULT_MODELS, **models}

    async def complete(self, request: ModelRequest, *, credentials: Mapping[str, str]) -> ModelReply:
        """The model's whole reply; cancelling the call ends the command.

        Raises:
            Refusal: the tier is unknown.
            CommandError: the command cannot be run, or reports a failure.
            IncompleteReply: it ended or fell silent before the reply was complete.
        """
        request = in_words(request)
        mark = _tools_in_text.mark_of(request.session)
        command = [credentials[credential_names.CLAUDE], *OPTIONS, "--model", model_id(request, self._models)]
        system = [request.system, _tools_in_text.instructions(request.tools, mark) if request.tools else ""]
        if any(system):
            command += ["--system-prompt", "\n\n".join(filter(None, system))]
        environ = _environment(credentials, request.max_tokens)
        for way in _ways(request, mark):
            outcome = await _claude_process.run(
                [*command, *way.options], way.said, request.folder, {**environ, **way.environ}
            )
            # Only the command knows what an attempt before this one has left behind.
            if not (outcome.is_elsewhere or (way.goes_on and outcome.is_nothing)):
                break
        reply = outcome.reply(way.cost_before)
        return _in_blocks(reply, outcome, mark) if request.messages else reply


def _ways(request: ModelRequest, mark: str) -> Iterator[_Way]:
    """The ways to have `request` answered, best first; the next one is for where one leads nowhere.

    Nothing stays in a session of an attempt that was cut off: its turn is taken up again, or forgotten.
    """
    place = request.place
    if place is not None:
        at = ("--resume", str(place["session"]), "--resume-session-at", str(place["message"]))
        new = _tools_in_text.last(request.messages, mark)
        yield _Way(at, new, goes_on=True, cost_before=float(place["cost_usd"]))
    said = _tools_in_text.whole(request.messages, mark) if request.messages else request.user
    session = request.session
    if len(request.messages) > 1:  # Another session for each such text: there may be one that knows less.
        session = str(uuid.uuid5(uuid.UUID(session), said))
    yield _Way(("--session-id", session), said)
    yield _Way(("--resume", session, "--input-format", "stream-json"), "", GO_ON, goes_on=True)
    # That session can neither be begun nor be gone on with.
    yield _Way(("--session-id", str(uuid.uuid4())), said)


def _in_blocks(reply: ModelReply, outcome: Outcome, mark: str) -> ModelReply:
    """`reply` as one of a conversation, with its calls in blocks of their own."""
    content = _tools_in_text.blocks(reply.text, mark, is_cut_off=reply.stop_reason == "max_tokens")
    return dataclasses.replace(
        reply,
        text="".join(each["text"] for each in content if each["type"] == "text"),
        content=content,
        place={"session": outcome.session, "message": outcome.message, "cost_usd": outcome.cost},
    )


def _environment(credentials: Mapping[str, str], max_tokens: int) -> dict[str, str]:
    # Without a key that the worker may have been started with: the call goes out on the command's own login.
    return {
        **child_environ.of_child(os.environ),
        **credentials,
        **dict.fromkeys(GO_ON, ""),
        "CLAUDE_CODE_DISABLE_CLAUDE_MDS": "1",
        "CLAUDE_CODE_DISABLE_TERMINAL_TITLE": "1",
        "CLAUDE_CODE_DISABLE_THINKING": "1",
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(max_tokens),
        "CLAUDE_CODE_MAX_RETRIES": "0",  # Retries belong to Temporal alone.
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_AUTO_COMPACT": "1",  # A conversation that gets long is shortened here, for either transport alike.
        "MAX_THINKING_TOKENS": "0",
    }
