"""The one place where a provider's failure becomes a retry verdict.

| status                              | verdict                                               |
|-------------------------------------|-------------------------------------------------------|
| 408 409 429 5xx (529 is overloaded) | retry, not before `retry-after`                       |
| every other, 400 to 404 above all   | end at once: the same call would be refused again     |
| no answer, a broken or cut reply    | retry                                                 |
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

import anthropic
import httpx2

from sagaflow_mcp import records
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.models._types import CommandError, IncompleteReply, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

RETRYABLE_STATUSES = frozenset({408, 409, 429})
"""Timed out, in conflict, too many requests; and all from 500 up."""

LONGEST_RETRY_AFTER = timedelta(hours=1)
"""A provider that asks for more is asked again after this."""

MESSAGE_LIMIT = 300
"""Characters of the provider's own message that are passed on."""

STATUS_OF_TYPE = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The status behind an error that comes in mid-reply, when the HTTP status has long been 200."""

WAY_OUT = {
    401: "check ANTHROPIC_API_KEY",
    402: "check the plan and the credit of the account that the key belongs to",
    403: "check what the key may use",
    404: "check the model id, and ANTHROPIC_BASE_URL if it is set",
    413: "make the prompt smaller",
}
"""What the user can do about a status."""

_NEVER_SENT = (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError, httpx2.InvalidURL)
_KEY = re.compile(r"\bsk-[\w-]{8,}")


def verdict(error: BaseException, now: datetime | None = None) -> Verdict:
    """What `error`, raised by a transport, means for the step; `now` is what a `retry-after` date counts from."""
    match error:
        case anthropic.APIStatusError():
            return _answered(error, now or datetime.now(UTC))
        case anthropic.APIConnectionError():
            return _unanswered(error)
        case httpx2.TransportError():
            return _broken_off(error)
        case CommandError():
            return _commanded(error)
        case IncompleteReply() | Refusal():
            may_pass = isinstance(error, IncompleteReply)
            return Verdict(may_pass, "incomplete_reply" if may_pass else "refused", str(error), None)
    # Its text is not passed on: nobody knows what an unknown error quotes.
    sentence = f"the model call failed in an unexpected way ({type(error).__name__}); please report it"
    return Verdict(False, "unexpected_error", sentence, None)


def _answered(error: anthropic.APIStatusError, now: datetime) -> Verdict:
    """The verdict over an error that the provider sent, as a status or in mid-reply."""
    named = records.one_line(error.type, 60) if isinstance(error.type, str) else ""
    in_reply = error.status_code < HTTPStatus.BAD_REQUEST
    # An error in mid-reply that has no known name counts as the provider's own trouble.
    status = STATUS_OF_TYPE.get(named, 500) if in_reply else error.status_code
    retryable = status in RETRYABLE_STATUSES or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    if in_reply:
        sentence = f"the model provider broke off its reply ({named or 'without a reason'})"
    else:
        what = "could not answer" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "refused the call"
        sentence = f"the model provider {what} ({f'{status} {named}'.strip()})"
    if message := _message(error):
        sentence += f": {message}"
    if status in WAY_OUT:
        sentence += f"; {WAY_OUT[status]}"
    return Verdict(
        retryable,
        named or f"http_{status}",
        sentence,
        _retry_after(error.response.headers, now) if retryable else None,
    )


def _commanded(error: CommandError) -> Verdict:
    """The verdict over what the `claude` command reported."""
    status = error.status
    retryable = status in RETRYABLE_STATUSES or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    said = _KEY.sub("(key)", str(error)).rstrip(".")
    way_out = "; run `claude` and log in, or set ANTHROPIC_API_KEY" if status == HTTPStatus.UNAUTHORIZED else ""
    return Verdict(retryable, error.type or f"http_{status}", f"the claude command failed: {said}{way_out}", None)


def _message(error: anthropic.APIStatusError) -> str:
    """The provider's message in one bounded line, without any key that it may quote; empty when it sent none."""
    # A gateway's error page is not a message.
    text = error.api_message if isinstance(error.api_message, str) else ""
    for name in ("authorization", "x-api-key"):
        if key := error.request.headers.get(name, "").removeprefix("Bearer "):
            text = text.replace(key, "(key)")
    return records.one_line(_KEY.sub("(key)", text), MESSAGE_LIMIT).rstrip(".")


def _unanswered(error: anthropic.APIConnectionError) -> Verdict:
    """The verdict over a call that got no answer."""
    if isinstance(error.__cause__, _NEVER_SENT):
        # Without the library's own text, which may show a header.
        sentence = "the call to the model provider could not be made; check ANTHROPIC_BASE_URL"
        return Verdict(False, "connection_error", sentence, None)
    timed_out = isinstance(error, anthropic.APITimeoutError)
    # Host and port only: the rest of an address may hold a password.
    url = error.request.url
    where = f"{url.scheme}://{url.host}" + (f":{url.port}" if url.port else "")
    sentence = (
        f"the model provider at {where} {'did not answer in time' if timed_out else 'could not be reached'}; "
        "check the network, and ANTHROPIC_BASE_URL if it is set"
    )
    return Verdict(True, "timeout_error" if timed_out else "connection_error", sentence, None)


def _broken_off(error: httpx2.TransportError) -> Verdict:
    """The verdict over a reply that stopped coming."""
    if isinstance(error, httpx2.TimeoutException):
        return Verdict(True, "timeout_error", "the model provider stopped sending in mid-reply", None)
    return Verdict(True, "connection_error", "the connection to the model provider broke in mid-reply", None)


def _retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """How long to wait, from `retry-after-ms` or `retry-after`; None when neither says anything sensible."""
    seconds = _number(headers.get("retry-after-ms", "")) / 1000
    if math.isnan(seconds):
        given = headers.get("retry-after", "")
        seconds = _number(given)
        if math.isnan(seconds):
            seconds = _seconds_until(given, now)
    if math.isnan(seconds) or seconds < 0:
        return None
    return timedelta(seconds=min(seconds, LONGEST_RETRY_AFTER.total_seconds()))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _seconds_until(date: str, now: datetime) -> float:
    """Seconds from `now` until an HTTP date, not a number when it is none."""
    try:
        until = parsedate_to_datetime(date)
    except ValueError:
        return math.nan
    # A date with the zone -0000 comes without one, and means UTC.
    return ((until if until.tzinfo else until.replace(tzinfo=UTC)) - now).total_seconds()
