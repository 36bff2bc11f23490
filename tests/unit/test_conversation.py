"""The file that an agent's conversation is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sagaflow_mcp import conversation
from sagaflow_mcp.conversation import Conversation

if TYPE_CHECKING:
    from pathlib import Path

FIRST, SECOND, THIRD = ({"role": "user", "content": text} for text in ("one", "twö\n", "three"))


def test_a_message_that_is_appended_again_takes_the_place_of_the_first(tmp_path: Path) -> None:
    """Whatever an attempt has left after the length that all have agreed on."""
    talk = Conversation(tmp_path / "talk")
    length = talk.append(0, FIRST, SECOND)
    talk.append(length, FIRST)
    assert talk.messages(talk.append(length, THIRD)) == [FIRST, SECOND, THIRD]
    assert talk.messages(length) == [FIRST, SECOND]
    assert talk.messages(0) == []


def test_a_conversation_that_is_gone_is_told(tmp_path: Path) -> None:
    """Rather than gone on with."""
    talk = Conversation(tmp_path / "talk")
    with pytest.raises(FileNotFoundError):
        talk.messages(5)
    length = talk.append(0, FIRST)
    with pytest.raises(ValueError, match="bytes"):
        talk.messages(length + 1)


def test_a_result_is_kept_and_a_call_begins_once(tmp_path: Path) -> None:
    """What has begun and has no result was cut off."""
    talk = Conversation(tmp_path / "talk")
    assert talk.result("0-0") is None
    assert talk.begin("0-0")
    assert not talk.begin("0-0")
    talk.keep_result("0-0", "did it", is_error=False)
    assert talk.result("0-0") == {"content": "did it", "is_error": False}


def turns(count: int, size: int) -> list[dict[str, Any]]:
    """A task, and so many turns each of which calls a tool that says so much."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "the task"}]
    for number in range(count):
        call = {"type": "tool_use", "id": str(number), "name": "read_file", "input": {}}
        said = {"type": "tool_result", "tool_use_id": str(number), "content": "x" * size, "is_error": False}
        messages += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [said]}]
    return messages


def test_a_long_conversation_loses_old_results_first(tmp_path: Path) -> None:
    """The task, the calls and the last messages stay as they are; nothing else is changed."""
    before = turns(20, 25_000)
    after = conversation.shortened(before)
    assert len(after) == len(before)
    assert after[0] == before[0]
    assert after[-8:] == before[-8:]
    assert after[1::2] == before[1::2]
    assert after[2]["content"][0] == {**before[2]["content"][0], "content": conversation.LEFT_OUT}
    assert len(json.dumps(after)) < conversation.ROOM // 2 + 25_000
    assert before == turns(20, 25_000), "what was given is left alone"
    assert conversation.sent(after) == after
    talk = Conversation(tmp_path / "talk", 7)
    length = talk.append(0, *after)
    assert (talk.messages(length), talk.last(length)) == (after, after[-1])
    assert not (tmp_path / "talk" / "messages.jsonl").exists()


def test_a_very_long_conversation_loses_old_turns() -> None:
    """Each call with what came of it; the model is told how many."""
    after = conversation.shortened(turns(5_000, 50))
    again = conversation.shortened([*after, *turns(5_000, 50)[1:]])
    for messages, gone in ((after, after[0]["left_out"]), (again, again[0]["left_out"])):
        assert len(messages) == 2 * (5_000 * (1 + (messages is again)) - gone) + 1
        assert sum(len(json.dumps(each)) for each in messages[1:]) < conversation.ROOM // 2
        first, *others = conversation.sent(messages)
        assert [block["text"] for block in first["content"]] == [
            "the task",
            f"({gone} turns of yours after this are left out.)",
        ]
        assert [each["role"] for each in others[:2]] == ["assistant", "user"]
        assert first.keys() == {"role", "content"}


def test_what_people_said_stays() -> None:
    """Also where the turn in which they did is gone, and however often."""
    messages = turns(2_500, 50)
    told = {"type": "text", "text": f"{conversation.TOLD}never touch main"}
    messages[2]["content"].append(told)
    for _ in range(2):
        messages = conversation.shortened([*messages, *turns(2_500, 50)[1:]])
    blocks = conversation.sent(messages)[0]["content"]
    assert [each["text"] for each in blocks[:2]] == ["the task", told["text"]]
    assert len(blocks) == 3


def test_the_last_results_go_where_there_is_no_room() -> None:
    """The oldest of them first."""
    messages = turns(5, 150_000)
    after = conversation.shortened(messages)
    assert after[-4:] == messages[-4:]
    assert conversation.LEFT_OUT in str(after[-7])
    assert len(json.dumps(after)) < conversation.ROOM


def test_results_share_the_room() -> None:
    """Where a turn makes many calls."""
    assert conversation.share(["x" * 50_000, "y"]) == ["x" * 50_000, "y"]
    shared = conversation.share(["x" * 50_000] * 9 + ["y"])
    assert sum(map(len, shared)) < conversation.ROOM // 2 + 1_000
    assert shared[0].endswith("make fewer)")
    assert shared[-1] == "y"


def test_where_a_message_stands_in_a_session_is_no_part_of_what_is_sent() -> None:
    """Nor does it hold for a conversation that was shortened."""
    answer = {"role": "assistant", "content": [{"type": "text", "text": "done"}]}
    messages: list[dict[str, Any]] = [
        FIRST,
        {**answer, conversation.PLACE: {"session": "s", "message": "m", "cost_usd": 0.1}},
    ]
    assert conversation.place(messages) == {"session": "s", "message": "m", "cost_usd": 0.1}
    assert conversation.place([*messages, SECOND]) is None
    assert conversation.place([]) is None
    assert conversation.sent([*messages, SECOND]) == [FIRST, answer, SECOND]
    assert conversation.place(conversation.shortened(messages)) is None
