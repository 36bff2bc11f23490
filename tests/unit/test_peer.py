"""The worker as the engine sees it, over a real connection."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from sagaflow_mcp.control import Channel
from sagaflow_mcp.errors import Failure
from sagaflow_mcp.peer import Peer
from tests import waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_SECONDS = 10.0


class Connected:
    """A peer that is served in a thread, and the worker's end of its connection."""

    def __init__(self) -> None:
        near, far = socket.socketpair(socket.AF_UNIX)
        self.worker = Channel(far)
        self.worker.patience(LIMIT_SECONDS)
        self.ready = threading.Event()
        self._engine = Channel(near)
        self.peer = Peer(self._engine, threading.Condition())
        self._serving = threading.Thread(target=self.peer.serve, args=(lambda _: self.ready.set(),))
        self._serving.start()

    def answer(self, **members: Any) -> dict[str, Any]:
        """The next request, which the worker answers with `members`."""
        request = self.worker.receive()
        assert request is not None
        self.worker.send({"id": request["id"], **members})
        return request

    def end(self) -> None:
        """The worker goes, and with it the serving thread."""
        self.worker.close()
        self._serving.join(LIMIT_SECONDS)
        assert not self._serving.is_alive()
        self._engine.close()


@pytest.fixture
def connected() -> Iterator[Connected]:
    """A connection that has ended afterwards."""
    connected = Connected()
    yield connected
    connected.end()


def test_a_request_gets_its_own_answer(connected: Connected) -> None:
    """Also when the answers to two come in the other order, with answers to nobody in between."""
    with ThreadPoolExecutor(2) as pool:
        asked = {name: pool.submit(connected.peer.ask, {"do": name}, LIMIT_SECONDS) for name in ("one", "two")}
        requests = [connected.worker.receive() or {} for _ in asked]
        for request in reversed(requests):
            connected.worker.send({"id": 1000, "ok": True, "of": "nobody"})
            connected.worker.send({"id": request["id"], "ok": True, "of": request["do"]})
        assert {name: each.result(LIMIT_SECONDS)["of"] for name, each in asked.items()} == {"one": "one", "two": "two"}


def test_a_refusal_comes_in_the_worker_s_words(connected: Connected) -> None:
    """Or says that there were none."""
    for members, sentence in [({"ok": False, "error": "it is broken"}, "it is broken"), ({}, "without saying why")]:
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(connected.peer.ask, {"do": "run_skill"}, LIMIT_SECONDS)
            connected.answer(**members)
            with pytest.raises(Failure, match=sentence):
                asked.result(LIMIT_SECONDS)


def test_a_late_answer_is_not_waited_for(connected: Connected) -> None:
    """Nor taken for the answer to the next request."""
    with pytest.raises(Failure, match="did not answer in time"):
        connected.peer.ask({"do": "first"}, 0.0)
    connected.answer(ok=True, of="first")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(connected.peer.ask, {"do": "second"}, LIMIT_SECONDS)
        connected.answer(ok=True, of="second")
        assert asked.result(LIMIT_SECONDS)["of"] == "second"


def test_a_worker_that_dies_answers_nobody(connected: Connected) -> None:
    """Neither who waits nor who asks afterwards."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(connected.peer.ask, {"do": "run_skill"}, LIMIT_SECONDS)
        connected.worker.receive()
        connected.end()
        with pytest.raises(ConnectionError, match="died before it answered"):
            asked.result(LIMIT_SECONDS)
    with pytest.raises(ConnectionError):
        connected.peer.ask({"do": "run_skill"}, LIMIT_SECONDS)


def test_each_report_is_a_new_object(connected: Connected) -> None:
    """Even if it says the same: that is how a hanging worker shows."""
    connected.worker.send({"event": "ready"})
    assert connected.ready.wait(LIMIT_SECONDS)
    seen: list[dict[str, Any]] = [connected.peer.state]
    for _ in range(2):
        connected.worker.send({"event": "state", "open_runs": 2, "last_probe": "now", "more": 1})
        waiting.eventually(lambda: connected.peer.state is not seen[-1], "a report")
        seen.append(connected.peer.state)
    assert seen[1:] == [{"open_runs": 2, "last_probe": "now"}] * 2
