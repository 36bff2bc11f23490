"""The file that an agent's conversation is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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
