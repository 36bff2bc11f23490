"""What a provider's failure means for the step."""

import json
from datetime import UTC, datetime, timedelta

import anthropic
import httpx2
import pytest

from sagaflow_mcp import models
from sagaflow_mcp.errors import Refusal

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KEY = "planted-key-0123456789"
REQUEST = httpx2.Request("POST", "https://user:secret@api.test/v1/messages", headers={"authorization": f"Bearer {KEY}"})


def refused(
    status: int, kind: str = "", message: str = "", headers: dict[str, str] | None = None, *, text: str = ""
) -> anthropic.APIStatusError:
    """The client's error for a response, or with status 200 for an event in mid-reply."""
    body = {"type": "error", "error": {"type": kind, "message": message}}
    response = httpx2.Response(status, request=REQUEST, headers=headers, text=text or json.dumps(body))
    return anthropic.APIStatusError(text or "Error", response=response, body=text or body)


def caused(error: anthropic.APIConnectionError, cause: Exception) -> anthropic.APIConnectionError:
    """`error` as the client raises it, from `cause`."""
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 412, 413, 422])
def test_a_call_that_would_be_refused_again_ends_the_step(status: int) -> None:
    """These statuses say that the call itself is wrong."""
    found = models.verdict(refused(status, "some_error", "no", {"retry-after": "5"}), NOW)
    assert (found.retryable, found.type, found.retry_after) == (False, "some_error", None)
    assert f"({status} some_error): no" in found.sentence


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_a_call_that_may_succeed_later_is_retried(status: int) -> None:
    """These statuses say that the provider could not answer now."""
    found = models.verdict(refused(status, "some_error", "later"), NOW)
    assert (found.retryable, found.retry_after) == (True, None)
    assert f"({status} some_error): later" in found.sentence


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "7"}, timedelta(seconds=7)),
        ({"retry-after": "0.5"}, timedelta(seconds=0.5)),
        ({"retry-after": "0"}, timedelta(0)),
        ({"retry-after-ms": "1500", "retry-after": "9"}, timedelta(seconds=1.5)),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:30 GMT"}, timedelta(seconds=30)),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:30 -0000"}, timedelta(seconds=30)),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT"}, None),
        ({"retry-after": "86400"}, timedelta(hours=1)),
        ({"retry-after": "inf"}, timedelta(hours=1)),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Sun, 99 Nov 2026 12:00:30 GMT"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_honoured_within_reason(headers: dict[str, str], expected: timedelta | None) -> None:
    """Seconds, milliseconds and dates count, up to an hour; nonsense does not."""
    assert models.verdict(refused(429, "rate_limit_error", "slow down", headers), NOW).retry_after == expected


@pytest.mark.parametrize(
    ("kind", "retryable"),
    [
        ("overloaded_error", True),
        ("rate_limit_error", True),
        ("api_error", True),
        ("timeout_error", True),
        ("never_heard_of", True),
        ("", True),
        ("invalid_request_error", False),
        ("authentication_error", False),
        ("billing_error", False),
    ],
)
def test_an_error_in_mid_reply_is_judged_by_its_name(kind: str, retryable: bool) -> None:
    """The HTTP status was 200 by then and says nothing."""
    found = models.verdict(refused(200, kind, "oh"), NOW)
    assert found.retryable is retryable
    assert found.sentence.startswith("the model provider broke off its reply")


@pytest.mark.parametrize(
    ("status", "cure"), [(401, "ANTHROPIC_API_KEY"), (404, "model id"), (402, "credit"), (413, "smaller")]
)
def test_the_sentence_names_the_way_out(status: int, cure: str) -> None:
    """A failure that the user can end says how."""
    assert cure in models.verdict(refused(status, "some_error", "no"), NOW).sentence


@pytest.mark.parametrize("quoted", [KEY, "sk-ant-api03-abcdefgh", f"<b>\n{KEY}</b>"])
def test_no_key_is_passed_on(quoted: str) -> None:
    """A provider that quotes the key does not get it into a history."""
    sentence = models.verdict(refused(401, "authentication_error", f"invalid key {quoted} given"), NOW).sentence
    assert KEY not in sentence
    assert "abcdefgh" not in sentence
    assert "(key)" in sentence


def test_the_provider_s_message_becomes_one_bounded_line() -> None:
    """A message is text from outside."""
    sentence = models.verdict(refused(400, "x" * 5000, "a\n\u2028\x1b[31m</b>" + "z" * 1_000_000), NOW).sentence
    assert len(sentence) < 500
    assert sentence.isprintable()
    assert "<" not in sentence


@pytest.mark.parametrize("text", ["<html><h1>Bad Gateway</h1></html>", "[]", "null", '{"error": 5}'])
def test_a_gateway_s_error_page_gives_its_status(text: str) -> None:
    """What is not the provider's JSON is left out."""
    found = models.verdict(refused(502, text=text), NOW)
    assert found == models.Verdict(True, "http_502", "the model provider could not answer (502)", None)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (anthropic.APITimeoutError(REQUEST), "timeout_error", "https://api.test did not answer in time"),
        (anthropic.APIConnectionError(request=REQUEST), "connection_error", "https://api.test could not be reached"),
        (httpx2.ReadTimeout("t"), "timeout_error", "stopped sending"),
        (httpx2.ReadError("r"), "connection_error", "broke in mid-reply"),
        (httpx2.RemoteProtocolError("p"), "connection_error", "broke in mid-reply"),
        (models.IncompleteReply("the reply ended early"), "incomplete_reply", "the reply ended early"),
    ],
)
def test_no_answer_and_half_an_answer_are_retried(error: Exception, kind: str, words: str) -> None:
    """The network's troubles pass; the address is shown without its password."""
    found = models.verdict(error, NOW)
    assert (found.retryable, found.type) == (True, kind)
    assert words in found.sentence
    assert "secret" not in found.sentence


@pytest.mark.parametrize(
    "error",
    [
        Refusal("no credentials"),
        caused(anthropic.APIConnectionError(request=REQUEST), httpx2.UnsupportedProtocol(KEY)),
        caused(anthropic.APIConnectionError(request=REQUEST), httpx2.LocalProtocolError(KEY)),
        TypeError(KEY),
    ],
)
def test_what_never_left_this_machine_ends_the_step(error: Exception) -> None:
    """A call that cannot be made now cannot be made later; the library's own words stay out."""
    found = models.verdict(error, NOW)
    assert not found.retryable
    assert KEY not in found.sentence


def test_the_clock_is_used_when_no_time_is_given() -> None:
    """A date long gone is no reason to wait."""
    late = {"retry-after": "Sun, 22 Nov 2020 12:00:30 GMT"}
    assert models.verdict(refused(429, "rate_limit_error", "slow", late)).retry_after is None
