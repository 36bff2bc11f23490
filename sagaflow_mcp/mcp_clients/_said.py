"""What a server's process says beside the protocol: a bounded file of the run, and the line that tells the reason."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LARGEST_LOG = 1_000_000
"""How long the file gets, in bytes; what a server says after that is dropped."""

TAIL = 8_000
"""How much of the end is looked at for the reason, in bytes."""

_REASON = re.compile(r"\s*(\w+\.)*\w*(error|exception)\b.*[:!]", re.IGNORECASE)


class Said:
    """What one server has said, kept in `path`. Whatever is wrong with that file is no matter."""

    def __init__(self, path: Path) -> None:
        self._tail = b""
        self._file: int | None = None
        self._room = 0
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            self._room = LARGEST_LOG - os.fstat(self._file).st_size
        except OSError:
            self.close()

    def add(self, piece: bytes) -> None:
        """Take in what comes next. Never raises."""
        self._tail = (self._tail + piece)[-TAIL:]
        if self._file is None or self._room <= 0:
            return
        try:
            self._room -= os.write(self._file, piece[: self._room])
        except OSError:
            self.close()

    def reason(self) -> str:
        """The last line that tells of an error, else the last one; empty when nothing was said."""
        lines = [line.strip() for line in self._tail.decode(errors="replace").splitlines() if line.strip()]
        # What Node says last of all is its version.
        return next((line for line in reversed(lines) if _REASON.match(line)), lines[-1] if lines else "")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
