"""The worker as the engine sees it: requests go down its connection, answers and events come up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sagaflow_mcp.errors import Failure

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from sagaflow_mcp import control

REPORTED = ("open_runs", "last_probe", "server", "trouble")
"""What is kept of a worker's report."""


class Peer:
    """A worker that said hello on `channel`."""

    def __init__(self, channel: control.Channel, changed: threading.Condition) -> None:
        # Replaced by a new object on each report; that is how the engine sees that reports still arrive.
        self.state: dict[str, Any] = {}
        self._channel = channel
        self._changed = changed
        self._answers: dict[int, dict[str, Any] | None] = {}
        self._number = 0
        self._gone = False

    def serve(self, on_ready: Callable[[bool], None]) -> None:
        """Take what the worker sends until it is gone. OSError or ValueError if the connection breaks.

        `on_ready` is told whether the worker has come closer to what its predecessors died of.
        """
        try:
            while (message := self._channel.receive()) is not None:
                if message.get("event") == "ready":
                    on_ready(bool(message.get("closer")))
                elif message.get("event") == "state":
                    self.state = {key: message[key] for key in REPORTED if key in message}
                else:
                    self._answered(message)
        finally:
            with self._changed:
                self._gone = True
                self._changed.notify_all()

    def ask(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The worker's answer to `message`.

        Raises:
            Failure: it refused, with its sentence, or did not answer within `seconds`.
            ConnectionError: it is gone.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            self._number += 1
            number = self._number
            self._answers[number] = None
        try:
            self._send({**message, "id": number})
            return self._answer(number, deadline)
        finally:
            with self._changed:
                del self._answers[number]

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._channel.send(message)
        except OSError as error:
            self._channel.close()  # A message may have gone out in part.
            raise ConnectionAbortedError("the worker takes no messages") from error

    def _answer(self, number: int, deadline: float) -> dict[str, Any]:
        with self._changed:
            self._changed.wait_for(lambda: self._answers[number] or self._gone, max(deadline - time.monotonic(), 0))
            answer = self._answers[number]
            if answer is None and self._gone:
                raise ConnectionAbortedError("the worker died before it answered")
        if answer is None:
            raise Failure("the worker did not answer in time; see `sagaflow engine logs`")
        if answer.get("ok") is not True:
            raise Failure(str(answer.get("error") or "the worker refused without saying why"))
        return answer

    def _answered(self, message: dict[str, Any]) -> None:
        with self._changed:
            if message.get("id") in self._answers:
                self._answers[message["id"]] = message
                self._changed.notify_all()
