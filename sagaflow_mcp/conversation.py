"""The conversation of an agent with its model: a file of the run that grows with each turn.

Steps pass on how long it is, and not what it says, so that a run's history grows by the same little with every turn.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import paths

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


ROOM = 400_000
"""How long a conversation may get, in bytes, before a part of it is left out: some 100,000 tokens."""

SPARED = 8
"""How many of the last messages are left as they are, where there is room for them."""

LEFT_OUT = "(left out, since the conversation got long; make the call again if you still need this)"
"""Stands for what a tool has said long ago."""

TOLD = "The user says while you work: "
"""Goes before what people tell an agent."""

TOOLS = "mcp-tools.json"
"""The file of the tools that the agent has of MCP servers."""

KEPT_TOLD = "told"
"""The member of the first message that keeps what people have said in turns that are gone."""

PLACE = "place"
"""The member of a message of the model's that says where it stands in a session, where the transport has those."""

TURNS_LEFT_OUT = "left_out"
"""The member of the first message that counts the turns after it that are gone."""


class Conversation:
    """The messages of one agent in the folder `folder`, and what its tools have said.

    Where it is shortened, it goes on in another file: that of `generation`.
    """

    def __init__(self, folder: Path, generation: int = 0) -> None:
        self._folder = folder
        self._messages = folder / (f"messages-{generation}.jsonl" if generation else "messages.jsonl")

    def messages(self, length: int) -> list[dict[str, Any]]:
        """The messages in the first `length` bytes. OSError or ValueError when the file is gone or damaged."""
        return [json.loads(line) for line in self._lines(length)]

    def last(self, length: int) -> dict[str, Any]:
        """The last of the messages in the first `length` bytes. OSError or ValueError as `messages`."""
        found: dict[str, Any] = json.loads(self._lines(length)[-1])
        return found

    def _lines(self, length: int) -> list[bytes]:
        if not length:
            return []
        with self._messages.open("rb") as file:
            text = file.read(length)
        if len(text) < length:
            raise ValueError(f"the conversation has {len(text):,} bytes, not {length:,}")
        return text.splitlines()

    def append(self, length: int, *messages: Mapping[str, Any]) -> int:
        """How long it is with `messages` after its first `length` bytes, in place of whatever stood there.

        So an attempt that is made again leaves no message twice.

        Raises:
            OSError: it cannot be written.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = "".join(f"{json.dumps(each)}\n" for each in messages).encode()
        descriptor = os.open(self._messages, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.truncate(length)
            file.seek(length)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        return length + len(text)

    def result(self, call: str) -> dict[str, Any] | None:
        """What the tool has said in that call; None when it has not, or not to its end."""
        try:
            found: dict[str, Any] = json.loads((self._folder / f"{call}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return found

    def keep_result(self, call: str, text: str, *, is_error: bool) -> None:
        """Keep what the tool has said. OSError if it cannot be written."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = json.dumps({"content": text, "is_error": is_error})
        paths.write_atomically(str(self._folder / f"{call}.json"), content)

    def keep_tools(self, tools: Sequence[Mapping[str, Any]]) -> None:
        """Keep what the agent has of MCP servers. OSError if it cannot be written."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths.write_atomically(str(self._folder / TOOLS), json.dumps(tools))

    def tools(self) -> list[dict[str, Any]]:
        """What the agent has of MCP servers. OSError or ValueError when it is gone or damaged."""
        found: list[dict[str, Any]] = json.loads((self._folder / TOOLS).read_text(encoding="utf-8"))
        return found

    def forget_from(self, turn: int) -> None:
        """Keep nothing of the calls that the turn `turn` and later ones have made: it is about to be another one."""
        for pattern in ("*-*.json", "*-*.begun"):
            for path in self._folder.glob(pattern):
                number = path.name.partition("-")[0]
                if number.isdigit() and int(number) >= turn:
                    path.unlink(missing_ok=True)

    def begin(self, call: str) -> bool:
        """Whether the call begins now, for the first time. OSError if that cannot be written down."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = os.open(self._folder / f"{call}.begun", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return False
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return True


def shortened(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages with about half of `ROOM` left free, or a part of it where the last ones are long.

    What tools have said goes first, the oldest before the rest, and then whole turns. The first message, which has the
    task, stays, and so does what people have told the agent.
    """
    kept = [_without_place(each) for each in messages]  # A session would go on with all that is left out.
    _leave_out_results(kept, kept[1:-SPARED], ROOM // 2)
    _leave_out_results(kept, kept[-SPARED:], ROOM)
    size = _size(kept)
    while size > ROOM // 2 and len(kept) >= SPARED + 3:
        # Two at a time, so that what the model says and what it is told go on to alternate.
        size -= _size(kept[1:3])
        kept[0][KEPT_TOLD] = [*kept[0].get(KEPT_TOLD, []), *_told(kept[2])]
        kept[0][TURNS_LEFT_OUT] = kept[0].get(TURNS_LEFT_OUT, 0) + 1
        del kept[1:3]
    return kept


def _leave_out_results(kept: list[dict[str, Any]], among: list[dict[str, Any]], limit: int) -> None:
    """Leave out the results in the messages `among`, first ones first, until all that are kept fit `limit`."""
    size = _size(kept)
    for message in among:
        if size <= limit:
            break
        before = _size([message])
        message["content"] = _without_results(message["content"])
        size += _size([message]) - before


def share(texts: Sequence[str]) -> list[str]:
    """The texts, each cut off where all of them together leave no room for the rest of the conversation."""
    limit = ROOM // 2 // max(1, len(texts))
    if sum(map(len, texts)) <= ROOM // 2:
        return list(texts)
    note = "\n(cut off here, since so many calls were made at once; make fewer)"
    return [text if len(text) <= limit else text[:limit] + note for text in texts]


def sent(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages as the provider takes them, which are told what is left out."""
    first, *others = map(_without_place, messages)
    told, gone = first.pop(KEPT_TOLD, []), first.pop(TURNS_LEFT_OUT, 0)
    if gone:
        text = first["content"]
        blocks = [{"type": "text", "text": text}] if isinstance(text, str) else text
        note = {"type": "text", "text": f"({gone} turns of yours after this are left out.)"}
        first["content"] = [*blocks, *told, note]
    return [first, *others]


def place(messages: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Where the last of the messages stands in a session of the transport's; None where it stands in none."""
    found: Mapping[str, Any] | None = messages[-1].get(PLACE) if messages else None
    return found


def _without_place(message: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != PLACE}


def _told(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What people have told the agent in a message."""
    blocks = message["content"] if isinstance(message["content"], list) else []
    return [each for each in blocks if each["type"] == "text" and each["text"].startswith(TOLD)]


def _without_results(content: Any) -> Any:
    if isinstance(content, str):
        return content
    return [
        {**block, "content": LEFT_OUT}
        if block["type"] == "tool_result" and len(block["content"]) > len(LEFT_OUT)
        else block
        for block in content
    ]


def _size(messages: Sequence[Mapping[str, Any]]) -> int:
    return sum(len(json.dumps(each)) + 1 for each in messages)
