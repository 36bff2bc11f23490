"""Messages over the control socket, a real one."""

from __future__ import annotations

import contextlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import control
from sagaflow_mcp.control import Channel
from sagaflow_mcp.paths import Home

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_SECONDS = 10.0


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    """A channel and the bare socket at its other end."""
    near, far = socket.socketpair(socket.AF_UNIX)
    with contextlib.closing(Channel(near)) as channel, far:
        channel.patience(LIMIT_SECONDS)
        yield channel, far


def test_messages_arrive_one_by_one(ends: tuple[Channel, socket.socket]) -> None:
    """However they were cut on their way; then comes the end."""
    channel, far = ends
    far.sendall(b'{"a": 1}\n{"b":')
    assert channel.receive() == {"a": 1}
    far.sendall(b' "\xc3\xa9"}\n')
    far.shutdown(socket.SHUT_WR)
    assert channel.receive() == {"b": "é"}
    assert channel.receive() is None


def test_half_a_message_is_none(ends: tuple[Channel, socket.socket]) -> None:
    """Its sender died in the middle of it."""
    channel, far = ends
    far.sendall(b'{"a": 1}')
    far.shutdown(socket.SHUT_WR)
    assert channel.receive() is None


@pytest.mark.parametrize(
    ("line", "reason"), [(b"nonsense\n", "Expecting value"), (b"[1]\n", "no JSON object but list")]
)
def test_what_is_not_a_message_is_refused(ends: tuple[Channel, socket.socket], line: bytes, reason: str) -> None:
    """With the reason."""
    channel, far = ends
    far.sendall(line)
    with pytest.raises(ValueError, match=reason):
        channel.receive()


def test_a_message_without_end_is_refused(ends: tuple[Channel, socket.socket]) -> None:
    """Nobody fills the engine's memory."""
    channel, far = ends
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(far.sendall, b"x" * (control.LONGEST_LINE + 1))
        with pytest.raises(ValueError, match="longer than 1000000 bytes"):
            channel.receive()
        sending.result(LIMIT_SECONDS)


def test_a_silent_sender_is_waited_for_only_so_long(ends: tuple[Channel, socket.socket]) -> None:
    """As long as the receiver's patience."""
    channel, _ = ends
    channel.patience(0.01)
    with pytest.raises(TimeoutError):
        channel.receive()


def test_closing_ends_a_receive_under_way(ends: tuple[Channel, socket.socket]) -> None:
    """In another thread, which would otherwise wait for ever."""
    channel, far = ends
    channel.patience(None)
    begun = threading.Event()

    def receive() -> None:
        """Take one message and wait for the next."""
        channel.receive()
        begun.set()
        with contextlib.suppress(OSError, ValueError):  # Raised where the closing came before the second receive.
            channel.receive()

    receiving = threading.Thread(target=receive, daemon=True)
    receiving.start()
    far.sendall(b"{}\n")
    assert begun.wait(LIMIT_SECONDS)
    channel.close()
    receiving.join(LIMIT_SECONDS)
    assert not receiving.is_alive()


@pytest.mark.parametrize("depth", [0, 5])
def test_whoever_connects_meets_who_listens(tmp_path: Path, depth: int) -> None:
    """Also in a home whose path is longer than a socket's name may be; a dead engine's socket is replaced."""
    home = Home(str(tmp_path.joinpath(*["deep" * 8] * depth, "home"))).prepare()
    control.listen(home).close()
    with control.listen(home) as listener:
        assert Path(control.path(home)).stat().st_mode & 0o777 == 0o600
        with contextlib.closing(Channel(control.connect(home, LIMIT_SECONDS))) as asker:
            asker.send({"op": "status"})
            with contextlib.closing(Channel(listener.accept()[0])) as answerer:
                assert answerer.receive() == {"op": "status"}


def test_connecting_fails_where_nobody_listens(home: Home) -> None:
    """With no socket there, and with one that a dead engine left behind."""
    with pytest.raises(FileNotFoundError):
        control.connect(home, LIMIT_SECONDS)
    control.listen(home).close()
    with pytest.raises(ConnectionRefusedError):
        control.connect(home, LIMIT_SECONDS)
