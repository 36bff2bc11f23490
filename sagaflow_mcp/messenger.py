"""The messages that a live session without a terminal gets about its runs, over the socket that it offers.

In a terminal a hook wakes the session instead: there its words do not look like those of a teammate.
"""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING

from sagaflow_mcp import claude_process, guard, wakeups, ways
from sagaflow_mcp.paths import Home

if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET, TOKEN = "CLAUDE_CODE_MESSAGING_SOCKET", "CLAUDE_CODE_MESSAGING_TOKEN"
"""Where Claude Code (from 2.1.224) says where its socket is, and what opens it."""

LOOK_SECONDS = 0.5
"""The pause between two looks."""

SEND_SECONDS = 0.5
"""How long a session may take to take a message."""


class Messenger:
    """Sends a session what its runs have come to."""

    def __init__(self, waking: wakeups.Wakeups, environ: Mapping[str, str]) -> None:
        self._waking = waking
        self._address, self._token = environ[SOCKET], environ[TOKEN]
        self._look_at = 0.0
        self.failures = 0
        """How often a message could not be sent."""

    def look(self) -> None:
        """Send what there is to be sent by now. Never raises: what cannot be sent comes with the next prompt."""
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_SECONDS
        try:
            if self._waking.are_due(time.time()):
                self._send()
        except (OSError, ValueError):
            self.failures += 1

    def _send(self) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SEND_SECONDS)
            # Before anything is claimed: of what cannot be sent nothing is lost.
            connection.connect(self._address)
            connection.sendall(_line({"type": "auth", "token": self._token}))
            lines = self._waking.take(time.time())
            if lines:
                content = "\n".join([wakeups.HEAD, *lines])
                connection.sendall(_line({"type": "user", "message": {"role": "user", "content": content}}))


def of(environ: Mapping[str, str]) -> Messenger | None:
    """The messenger for the session that a launcher with `environ` belongs to; None where it gets no messages."""
    process = claude_process.parse(environ.get(claude_process.VARIABLE, ""))
    is_elsewhere = environ.get("CLAUDE_CODE_ENTRYPOINT", ways.TERMINAL) != ways.TERMINAL
    if process is None or not is_elsewhere or not (environ.get(SOCKET) and environ.get(TOKEN)):
        return None
    home = Home.from_environment(environ)
    if guard.foreign(environ, guard.OF_HOME) or not ways.is_on(ways.MESSAGE, home, environ):
        return None
    return Messenger(wakeups.Wakeups(home, process, environ.get("CLAUDE_CODE_SESSION_ID", "")), environ)


def _line(message: Mapping[str, object]) -> bytes:
    return json.dumps(message).encode() + b"\n"
