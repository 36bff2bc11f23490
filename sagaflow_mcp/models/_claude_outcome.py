"""What the `claude` command has said in one call: a reply, a failure, or that it knows no such session."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from sagaflow_mcp import records
from sagaflow_mcp.models._types import CommandError, IncompleteReply, ModelReply

STATUSES = {
    "authentication_failed": 401,
    "billing_error": 402,
    "invalid_request": 400,
    "model_not_found": 404,
    "rate_limit": 429,
    "server_error": 500,
}
"""The HTTP status that stands for what the command calls an error, where it names no status."""

CUT_OFF = "max_output_tokens"
"""What the command calls it that a reply is still not whole, after it has had the model go on a few times."""

NO_SUCH_PLACE = ("No conversation found", "No message found", "is already in use")
"""What the command says of a session that it cannot go on with or begin."""


class Outcome:
    """What the command has said."""

    def __init__(self) -> None:
        self.text = ""
        self.message = ""
        """The id of the model's last message."""
        self.session = ""
        self.complaint = ""
        """Its last words on standard error."""
        self._model = ""
        self._stop_reason = ""
        self._failure: dict[str, Any] = {}
        self._result: dict[str, Any] = {}

    def hear(self, line: bytes) -> None:
        """Take in one line of the command's output."""
        try:
            message = json.loads(line)
        except ValueError:
            return
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "assistant":
            self._hear_reply(message)
        elif kind == "result":
            self._result = message
            self.session = str(message.get("session_id") or "")
        elif kind == "stream_event" and message["event"].get("type") == "message_delta":
            self._stop_reason = message["event"]["delta"].get("stop_reason") or self._stop_reason
            if self._stop_reason == "refusal":
                self.text = ""  # Withheld; newer ones have the model begin again.

    def _hear_reply(self, message: dict[str, Any]) -> None:
        if message.get("is_api_error_message") or message.get("error"):
            self._failure = message
            return
        said = message["message"]
        self._model = said.get("model") or self._model
        self.message = str(message.get("uuid") or "")
        self.text += "".join(block["text"] for block in said.get("content", ()) if block.get("type") == "text")

    @property
    def is_elsewhere(self) -> bool:
        """Whether it could not do anything with the session that it was to go on with or to begin."""
        return any(each in self.complaint for each in NO_SUCH_PLACE)

    @property
    def is_nothing(self) -> bool:
        """Whether it has ended without saying anything, or the provider did not take what the session holds."""
        return self._status() == HTTPStatus.BAD_REQUEST if self._failure else not (self._result or self.complaint)

    def _status(self) -> int:
        named = str(self._failure.get("error") or "")
        return int(self._failure.get("api_error_status") or STATUSES.get(named) or 500)

    def reply(self, cost_before: float) -> ModelReply:
        """The reply.

        Args:
            cost_before: what the session had cost before, in US dollars.

        Raises:
            CommandError: the command reports a failure.
            IncompleteReply: there is no reply.
        """
        stop_reason = self._stop_reason or str(self._result.get("stop_reason") or "")
        if self._failure.get("error") == CUT_OFF:
            stop_reason = "max_tokens"
        elif (self._failure or self._result.get("is_error")) and stop_reason != "refusal":
            raise self._error()
        if not self._result:
            raise self._none()
        usage = self._result.get("usage") or {}
        return ModelReply(
            text=self.text,
            model=self._model,
            stop_reason=stop_reason,
            input_tokens=int(usage.get("input_tokens") or 0),
            output_tokens=int(usage.get("output_tokens") or 0),
            cache_read_tokens=int(usage.get("cache_read_input_tokens") or 0),
            cache_creation_tokens=int(usage.get("cache_creation_input_tokens") or 0),
            cost_usd=round(max(0.0, self.cost - (cost_before if self._counts_all() else 0)), 6),
        )

    @property
    def cost(self) -> float:
        """The cost that it names, in US dollars."""
        return float(self._result.get("total_cost_usd") or 0)

    def _counts_all(self) -> bool:
        """Whether the cost is that of the whole session, as newer versions count it, and not of this call alone."""
        of_models = (self._result.get("modelUsage") or {}).values()
        usage = self._result.get("usage") or {}
        return sum(int(each.get("outputTokens") or 0) for each in of_models) > int(usage.get("output_tokens") or 0)

    def _none(self) -> CommandError | IncompleteReply:
        why = records.one_line(self.complaint.splitlines()[-1] if self.complaint else "it said nothing", 300)
        if "unknown option" in why:
            return CommandError(400, "too_old", f"it is too old ({why}); update Claude Code")
        return IncompleteReply(f"the claude command ended without a reply: {why}")

    def _error(self) -> CommandError:
        """What the command reports, as the HTTP status that it stands for."""
        named = str(self._failure.get("error") or "")
        content = (self._failure.get("message") or {}).get("content", ())
        told = "".join(block["text"] for block in content if block.get("type") == "text")
        said = told or str(self._result.get("result") or named or "no reason")
        kind = str(self._failure.get("api_error_type") or named)
        return CommandError(self._status(), kind, records.one_line(said, 300))
