"""Lines and bytes on descriptors that are watched with select: nothing here waits."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

READ_BYTES = 65_536
"""What a pipe holds on Linux."""


class Lines:
    """The whole lines that come out of `descriptor`."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.ended = False
        """Whether nothing will come any more."""
        self._parts: list[bytes] = []

    def read(self) -> list[bytes]:
        """The lines that are complete now, without empty ones; call it when the descriptor is readable."""
        try:
            data = os.read(self.descriptor, READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        self.ended = not data
        if b"\n" not in data:
            # Not searched again with each part that comes: a line can have megabytes.
            self._parts.append(data)
            return []
        *lines, rest = b"".join([*self._parts, data]).split(b"\n")
        self._parts = [rest]
        return [line + b"\n" for line in lines if line.strip()]


class Outlet:
    """Bytes on their way into `descriptor`.

    Args:
        descriptor: where they go.
        at_once: how many bytes it takes without waiting when it is writable; 0 where it never waits by itself.
    """

    def __init__(self, descriptor: int, at_once: int = 0) -> None:
        self.descriptor = descriptor
        self.size = 0
        """The bytes that have not been written."""
        self.broken = False
        """Whether nobody reads it any longer; then bytes vanish."""
        self._at_once = at_once
        self._parts: deque[memoryview] = deque()

    def add(self, parts: Iterable[bytes]) -> None:
        """Have `parts` written after what is on its way."""
        for part in parts:
            self._parts.append(memoryview(part))
            self.size += len(part)

    def write(self) -> None:
        """Write what can be written now; call it when the descriptor is writable."""
        while self._parts:
            part = self._parts[0]
            try:
                written = os.write(self.descriptor, part[: self._at_once or len(part)])
            except BlockingIOError:
                return
            except OSError:
                self.broken = True
                self._parts.clear()
                self.size = 0
                return
            self.size -= written
            self._parts[0] = part[written:]
            if written == len(part):
                self._parts.popleft()
            if self._at_once:
                return
