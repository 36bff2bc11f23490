"""The activities of an agent: a turn of its model, and a call of one of its tools."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from sagaflow_mcp import agent_tools, conversation, mcp_names, mcp_tools, models
from sagaflow_mcp.durable import context, mcp_activities, model_calls, persisting
from sagaflow_mcp.durable.step_events import StepEvents
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sagaflow_mcp.conversation import Conversation
    from sagaflow_mcp.durable.context import StepContext
    from sagaflow_mcp.durable.permit_activities import AskPermissionInput

GO_ON = "You were cut off. Go on exactly where you stopped."
"""What a model is told whose turn was cut off at `max_tokens`."""

NOTHING = "(nothing)"
"""Stands for an empty text, which is no content to the provider."""

DAMAGED = "ConversationDamaged"
"""The failure type of a turn whose conversation is gone, or shorter than it was."""


@dataclass(frozen=True)
class AgentTurnInput:
    """One turn: what is added to the conversation, and how the model is asked to answer it."""

    role: str
    """What the step is called."""
    conversation: str
    """The agent's, among those of its workflow."""
    turn: int
    """From 0."""
    length: int
    """Of the conversation before this turn, in bytes."""
    tier: str
    system: str
    say: str
    """What the user says; empty where tools have been called."""
    max_tokens: int
    tools: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)
    """Those about which nobody is asked, beside those that only read files."""
    calls: list[str] = field(default_factory=list)
    """The ids of the tool calls that the turn before has made."""
    told: list[str] = field(default_factory=list)
    """What people have told the agent since its last turn."""
    heard: int = 0
    """How many messages of theirs there have been with these."""
    generation: int = 0
    """Of the conversation."""


@dataclass(frozen=True)
class AgentTurn:
    """What came of it."""

    length: int
    """Of the conversation now."""
    text: str = ""
    """What the model has said where it calls no tool."""
    is_cut_off: bool = False
    calls: list[dict[str, str]] = field(default_factory=list)
    """The `id` and the `name` of each tool call; of one for a subagent its `task`."""
    heard: int = 0
    """How many messages of people it knows."""
    generation: int = 0
    """Of the conversation now."""


@dataclass(frozen=True)
class UseToolInput:
    """A call of a tool."""

    role: str
    """The tool's name."""
    conversation: str
    turn: int
    """The turn that makes the call."""
    index: int
    """Which of its calls, from 0."""
    length: int
    """Of the conversation with that turn."""
    tools: list[str]
    """Those that the agent has."""
    skill_dir: str = ""
    """A folder with the files of its skill, which it may read."""
    said: str | None = None
    """What comes of the call without a use of the tool, such as what a subagent has said; None where it is used."""
    is_error: bool = False
    """Whether that is a failure."""
    generation: int = 0
    """Of the conversation."""


@activity.defn
async def agent_turn(given: AgentTurnInput) -> AgentTurn:
    """The model's next turn, which the conversation then has.

    Raises:
        ApplicationError: the provider failed, retryable or not as `models.verdict` says; or the conversation is gone.
    """
    step = context.current()
    talk = context.conversation_of(step, activity.info().workflow_id or "", given.conversation, given.generation)
    length, generation = given.length, given.generation
    if step.ancestors:
        await asyncio.to_thread(talk.forget_from, given.turn)
    offered = await asyncio.to_thread(_offered, talk, given.tools)
    with context.refusals_end_the_step():
        said = await asyncio.to_thread(_said, talk, given)
        before = await asyncio.to_thread(_messages, talk, length)
        new = [said]
        if length > conversation.ROOM:
            before = conversation.shortened(before)
            new, length, generation = [*before, said], 0, given.turn
            talk = context.conversation_of(step, activity.info().workflow_id or "", given.conversation, generation)
        request = models.ModelRequest(
            tier=given.tier,
            system=given.system,
            user="",
            max_tokens=given.max_tokens,
            messages=conversation.sent([*before, said]),
            tools=[
                *agent_tools.definitions(given.tools, given.unasked),
                *mcp_tools.definitions(offered.values(), given.unasked),
            ],
            session=model_calls.session(step, f"{activity.info().workflow_id}/{given.conversation}/{generation}"),
            place=conversation.place(before),
        )
        reply = await model_calls.complete(step, given.role, request, may_be_cut_off=True)
    is_cut_off = reply.stop_reason == "max_tokens"
    # The provider takes no block of blanks back, which a model may well say before it calls a tool.
    content = [each for each in reply.content if each["type"] != "text" or each["text"].strip()]
    content = content or [{"type": "text", "text": NOTHING}]
    answer: dict[str, Any] = {"role": "assistant", "content": content}
    if reply.place:
        answer[conversation.PLACE] = reply.place
    length = await persisting.until_written(
        lambda: talk.append(length, *new, answer),
        StepEvents(Path(step.run_dir), step, given.role, activity.info().attempt).failed,
    )
    calls = [_told_of(each, offered) for each in content if each["type"] == "tool_use"]
    return AgentTurn(length, "" if calls else reply.text, is_cut_off and not calls, calls, given.heard, generation)


def _told_of(block: Mapping[str, Any], offered: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What the run has to know of a tool call."""
    told = {"id": block["id"], "name": block["name"]}
    if block["name"] == agent_tools.SPAWN:
        told["task"] = str(block["input"].get("task") or "").encode(errors="replace").decode()
    if offered.get(block["name"], {}).get("reads"):
        told["reads"] = "yes"
    return told


@activity.defn
async def use_tool(given: UseToolInput) -> bool:
    """Whether the tool has done what was asked; what it says is kept for the next turn, also where it has failed."""
    step = context.current()
    talk = context.conversation_of(step, activity.info().workflow_id or "", given.conversation, given.generation)
    before = await asyncio.to_thread(talk.result, _call(given.turn, given.index))
    if before is not None:
        return not before["is_error"]
    with context.refusals_end_the_step():
        call = await asyncio.to_thread(call_of, step, given)
    is_right, text = await _used(step, talk, given, call)
    await asyncio.to_thread(talk.keep_result, _call(given.turn, given.index), text, is_error=not is_right)
    return is_right


async def _used(step: StepContext, talk: Conversation, given: UseToolInput, call: dict[str, Any]) -> tuple[bool, str]:
    """Whether the call went well, and what it has to say."""
    if given.said is not None:
        return not given.is_error, agent_tools.cut(given.said)
    if call["name"] == models.MALFORMED:
        return False, str(call["input"].get("problem"))
    offered = await asyncio.to_thread(_offered, talk, given.tools)
    if call["name"] in offered:
        place = _call(given.turn, given.index)
        return await mcp_activities.use(step, talk, place, offered[call["name"]], call["input"])
    known = [*(name for name in given.tools if name in agent_tools.TOOLS), *offered]
    if call["name"] not in known:
        return False, f"there is no tool {call['name']!r}; there are {', '.join(known) or 'none'}"
    return await _used_own(step, talk, given, call)


async def _used_own(
    step: StepContext, talk: Conversation, given: UseToolInput, call: dict[str, Any]
) -> tuple[bool, str]:
    """The same for a tool of ours; one that changes something is used once at most."""
    if agent_tools.TOOLS[call["name"]].changes and not await asyncio.to_thread(
        talk.begin, _call(given.turn, given.index)
    ):
        return False, agent_tools.UNKNOWN
    try:
        return True, await agent_tools.use(call["name"], call["input"], workspace_of(step, given.skill_dir))
    except Refusal as refused:
        return False, str(refused)


def call_of(step: StepContext, given: UseToolInput | AskPermissionInput) -> dict[str, Any]:
    """The tool call that `given` is about. ApplicationError when the conversation is gone."""
    talk = context.conversation_of(step, activity.info().workflow_id or "", given.conversation, given.generation)
    with _damage_ends_the_step():
        message = talk.last(given.length)
    found: dict[str, Any] = [each for each in message["content"] if each["type"] == "tool_use"][given.index]
    return found


def is_offered(step: StepContext, given: AskPermissionInput, name: str) -> bool:
    """Whether the tool `name` is one of ours, or one that an MCP server offers the agent."""
    talk = context.conversation_of(step, activity.info().workflow_id or "", given.conversation)
    return name in agent_tools.TOOLS or name in _offered(talk, [name])


def workspace_of(step: StepContext, skill_dir: str) -> agent_tools.Workspace:
    """The folders of an agent of the step's run."""
    return agent_tools.Workspace(
        project=step.project_dir if step.project_dir and Path(step.project_dir).is_dir() else "",
        files=str(step.files),
        skill=skill_dir,
        hidden=step.services.home.root,
    )


def is_made(step: StepContext, given: AskPermissionInput) -> bool:
    """Whether the run that this one goes on from has made the call, so that it is not made again."""
    talk = context.conversation_of(step, activity.info().workflow_id or "", given.conversation, given.generation)
    return talk.result(_call(given.turn, given.index)) is not None


def _call(turn: int, index: int) -> str:
    return f"{turn}-{index}"


def _offered(talk: Conversation, tools: list[str]) -> dict[str, dict[str, Any]]:
    """The agent's tools of MCP servers, by name."""
    if not mcp_names.among(tools):
        return {}
    with _damage_ends_the_step():
        return {each["name"]: each for each in talk.tools()}


def _messages(talk: Conversation, length: int) -> list[dict[str, Any]]:
    with _damage_ends_the_step():
        return talk.messages(length)


@contextlib.contextmanager
def _damage_ends_the_step() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise ApplicationError(
            f"the agent's conversation cannot be read: {error}", type=DAMAGED, non_retryable=True
        ) from error


def _said(talk: Conversation, given: AgentTurnInput) -> dict[str, Any]:
    """The message that the turn answers: the user's, or what the tools have said."""
    if not (given.calls or given.told):
        return {"role": "user", "content": given.say}
    results: list[dict[str, Any]] = [{"type": "text", "text": given.say}] if given.say else []
    found = [_result(talk, given, index) for index in range(len(given.calls))]
    texts = conversation.share([each["content"] or NOTHING for each in found])
    results += [
        {"type": "tool_result", "tool_use_id": call, "content": text, "is_error": each["is_error"]}
        for call, text, each in zip(given.calls, texts, found, strict=True)
    ]
    results += [{"type": "text", "text": f"{conversation.TOLD}{each}"} for each in given.told]
    return {"role": "user", "content": results}


def _result(talk: Conversation, given: AgentTurnInput, index: int) -> dict[str, Any]:
    found = talk.result(_call(given.turn - 1, index))
    if found is None:
        raise ApplicationError(f"the result of tool call {index + 1} is gone", type=DAMAGED, non_retryable=True)
    return found
