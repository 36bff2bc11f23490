"""The control socket: JSON objects, one a line, between the engine, its worker and those who ask it something."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagaflow_mcp.paths import Home

LONGEST_LINE = 1_000_000
"""The size in bytes of the longest message taken."""

LONGEST_ADDRESS = 103
"""The longest socket path in bytes that macOS takes (`sun_path`, 104 with its end); Linux has 108."""

SEND_SECONDS = 5
"""How long a message may wait for its receiver to make room."""


class Channel:
    """A connection. Any thread may send; one receives."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("rb")
        self._sending = threading.Lock()
        # Not settimeout: that would bound the receiving as well, and a worker may be silent for days.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_SECONDS, 0))

    def patience(self, seconds: float | None) -> None:
        """From now on each receive and send may take `seconds`; None means that receiving may take for ever."""
        self._connection.settimeout(seconds)

    def send(self, message: dict[str, Any]) -> None:
        """Send `message`. OSError when the other side is gone or takes nothing."""
        line = json.dumps(message).encode() + b"\n"
        with self._sending:
            self._connection.sendall(line)

    def receive(self) -> dict[str, Any] | None:
        """The next message; None when the other side is gone. OSError when it is late, ValueError when it is none."""
        line = self._lines.readline(LONGEST_LINE + 1)
        if len(line) > LONGEST_LINE:
            raise ValueError(f"the message is longer than {LONGEST_LINE} bytes")
        if not line.endswith(b"\n"):
            return None
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError(f"the message is no JSON object but {type(message).__name__}")  # noqa: TRY004 - it is data
        return message

    def close(self) -> None:
        """Close the connection; a receive under way ends."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()
        with contextlib.suppress(ValueError):  # Raised where another thread is in the middle of receiving.
            self._lines.close()


def path(home: Home) -> str:
    """Where the control socket of `home` lies."""
    return os.path.join(home.engine, "control.sock")


def listen(home: Home) -> socket.socket:
    """The control socket of `home`, taking connections from its owner alone. OSError if it cannot be made."""
    target = path(home)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(target)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _bindable(target) as address:
        listener.bind(address)
    os.chmod(target, 0o600)
    listener.listen(128)
    return listener


def connect(home: Home, seconds: float) -> socket.socket:
    """A connection to the engine of `home`. OSError when none answers within `seconds`."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        with _bindable(path(home)) as address:
            connection.connect(address)
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _bindable(target: str) -> Iterator[str]:
    """`target` by a name short enough for a socket: through a link in a folder of our own where it must be."""
    if len(os.fsencode(target)) <= LONGEST_ADDRESS:
        yield target
        return
    folder = f"/tmp/sagaflow-{os.urandom(8).hex()}"  # noqa: S108 - TMPDIR may itself be long; made exclusively, 0700
    os.mkdir(folder, 0o700)
    link = folder + "/e"
    try:
        os.symlink(os.path.dirname(target), link)
        yield os.path.join(link, os.path.basename(target))
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(link)
        os.rmdir(folder)
