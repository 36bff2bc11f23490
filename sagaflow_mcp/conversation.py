"""The conversation of an agent with its model: a file of the run that grows with each turn.

Steps pass on how long it is, and not what it says, so that a run's history grows by the same little with every turn.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import paths

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Conversation:
    """The messages of one agent in the folder `folder`, and what its tools have said."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._messages = folder / "messages.jsonl"

    def messages(self, length: int) -> list[dict[str, Any]]:
        """The messages in the first `length` bytes. OSError or ValueError when the file is gone or damaged."""
        if not length:
            return []
        with self._messages.open("rb") as file:
            text = file.read(length)
        if len(text) < length:
            raise ValueError(f"the conversation has {len(text):,} bytes, not {length:,}")
        return [json.loads(line) for line in text.splitlines()]

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
