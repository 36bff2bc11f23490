"""The Messages API transport, by the real client against the offline server."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anthropic
import pytest

from sagaflow_mcp import models
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.testing import Error, OfflineMessagesApi, Rule, ToolUse, script
from tests import waiting

REQUEST = models.ModelRequest(tier="HAIKU", system="You are a greeter.", user="Greet alice", max_tokens=64)
LIMIT = 20
"""Seconds that any one wait may take."""


@pytest.fixture
def anyio_backend() -> str:
    """The transport is asyncio's."""
    return "asyncio"


@asynccontextmanager
async def transport(**kwargs: Any) -> AsyncIterator[models.MessagesApi]:
    """A transport that is closed again."""
    api = models.MessagesApi(**kwargs)
    try:
        yield api
    finally:
        await api.close()


async def complete(api: OfflineMessagesApi, request: models.ModelRequest = REQUEST) -> models.ModelReply:
    """One reply from `api` by a transport of its own."""
    async with transport() as model, asyncio.timeout(LIMIT):
        return await model.complete(request, credentials=api.environment())


def asking(user: str) -> models.ModelRequest:
    """A request that says `user`."""
    return replace(REQUEST, user=user)


async def verdict_of(api: OfflineMessagesApi) -> models.Verdict:
    """The verdict on the failure that `api` answers with."""
    try:
        await complete(api)
    except Exception as error:  # noqa: BLE001 - whatever comes out is to be judged
        return models.verdict(error)
    pytest.fail("the call did not fail")


@asynccontextmanager
async def client(api: OfflineMessagesApi) -> AsyncIterator[anthropic.AsyncAnthropic]:
    """The provider's own client, as a skill author's code would use it."""
    async with anthropic.AsyncAnthropic(api_key="offline", base_url=api.base_url, max_retries=0) as model:
        yield model


@contextmanager
def listener(answer: bytes) -> Iterator[int]:
    """The port of a server that sends `answer` to the first request and closes."""

    def serve() -> None:
        """Answer one client."""
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):  # What is left unread at the close would turn it into a reset.
                pass

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(LIMIT)
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join(LIMIT)


def daemons() -> set[threading.Thread]:
    """The threads that a process does not wait for at its end, those of offline servers among them."""
    return {thread for thread in threading.enumerate() if thread.daemon}


@contextmanager
def offline_process(*options: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """The offline API as a process of its own, which has ended afterwards."""
    command = [sys.executable, "-m", "sagaflow_mcp.testing.messages_api", *map(str, options)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=LIMIT)


def fetch(url: str, data: bytes | None = None) -> Any:
    """The JSON at `url`."""
    with urllib.request.urlopen(url, data, timeout=LIMIT) as response:
        return json.load(response)


@pytest.mark.anyio
async def test_a_reply_is_streamed_with_its_tokens() -> None:
    """Text, model, stop reason and all four token counts arrive."""
    usage = {"input_tokens": 11, "output_tokens": 7, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 3}
    with OfflineMessagesApi([Rule(match=r"Greet (\w+)", reply="hello, ${1} 👋", usage=usage)]) as api:
        reply = await complete(api)
        asked = api.requests[0]
    content = [{"type": "text", "text": "hello, alice 👋"}]
    assert reply == models.ModelReply("hello, alice 👋", "claude-haiku-5-5", "end_turn", 11, 7, 5, 3, content)
    assert asked.body["stream"] is True
    assert (asked.body["system"], asked.body["max_tokens"]) == ("You are a greeter.", 64)
    assert asked.body["messages"] == [{"role": "user", "content": "Greet alice"}]
    assert (asked.outcome, asked.status) == ("answered", 200)
    assert not asked.headers.keys() & {"authorization", "x-api-key"}


@pytest.mark.anyio
async def test_the_tier_chooses_the_model() -> None:
    """A tier has a default model, which the configuration replaces."""
    with OfflineMessagesApi() as api:
        async with transport(models={"OPUS": "own-model"}) as model:
            for tier in ("sonnet", "OPUS"):
                request = models.ModelRequest(tier=tier, system="", user="hi", max_tokens=1)
                await model.complete(request, credentials=api.environment())
        bodies = [each.body for each in api.requests]
    assert [body["model"] for body in bodies] == ["claude-sonnet-5-5", "own-model"]
    assert "system" not in bodies[0]


@pytest.mark.anyio
async def test_an_unknown_tier_is_refused() -> None:
    """The refusal names the tiers there are."""
    async with transport() as model:
        request = models.ModelRequest(tier="TINY", system="", user="hi", max_tokens=1)
        with pytest.raises(Refusal, match="'TINY' is not one of HAIKU, SONNET, OPUS"):
            await model.complete(request, credentials={"ANTHROPIC_API_KEY": "x"})


@pytest.mark.anyio
async def test_a_wrong_key_ends_the_step_at_once() -> None:
    """A 401 is asked once and says what to check."""
    with OfflineMessagesApi(key="right-key-0000") as api:
        wrong = {**api.environment(), "ANTHROPIC_API_KEY": "wrong-key-1111"}
        async with transport() as model:
            with pytest.raises(anthropic.AuthenticationError) as failure:
                await model.complete(REQUEST, credentials=wrong)
        assert len(api.requests) == 1
    found = models.verdict(failure.value)
    assert (found.retryable, found.type) == (False, "authentication_error")
    assert "check ANTHROPIC_API_KEY" in found.sentence
    assert "wrong-key" not in found.sentence


@pytest.mark.anyio
async def test_retry_after_reaches_the_verdict_and_the_client_does_not_retry() -> None:
    """A 429 is asked once: the waiting is Temporal's."""
    limited = Error(status=429, type="rate_limit_error", message="slow down", retry_after=7)
    with OfflineMessagesApi([Rule(error=limited)]) as api:
        found = await verdict_of(api)
        assert len(api.requests) == 1
    sentence = "the model provider refused the call (429 rate_limit_error): slow down"
    assert found == models.Verdict(True, "rate_limit_error", sentence, timedelta(seconds=7))


@pytest.mark.anyio
async def test_an_overloaded_provider_is_asked_again() -> None:
    """529 is the provider's own trouble."""
    with OfflineMessagesApi([Rule(error=Error())]) as api:
        found = await verdict_of(api)
    sentence = "the model provider could not answer (529 overloaded_error): Overloaded"
    assert found == models.Verdict(True, "overloaded_error", sentence, None)


@pytest.mark.anyio
@pytest.mark.parametrize(("kind", "retryable"), [("overloaded_error", True), ("invalid_request_error", False)])
async def test_an_error_in_mid_reply_is_judged_like_a_status(kind: str, retryable: bool) -> None:
    """Half a reply is no reply."""
    with OfflineMessagesApi([Rule(reply="a long reply", error=Error(type=kind, message="oh", midway=True))]) as api:
        found = await verdict_of(api)
    assert found == models.Verdict(retryable, kind, f"the model provider broke off its reply ({kind}): oh", None)


@pytest.mark.anyio
async def test_a_cut_connection_is_retried() -> None:
    """The network's troubles pass."""
    with OfflineMessagesApi([Rule(reply="a long reply", drop=True)]) as api:
        found = await verdict_of(api)
    assert found == models.Verdict(
        True, "connection_error", "the connection to the model provider broke in mid-reply", None
    )


@pytest.mark.anyio
@pytest.mark.parametrize(
    "content", [b"", b"event: message_start\ndata: {\n\n", b'event: ping\ndata: {"type": "ping"}\n\n']
)
async def test_a_reply_that_just_ends_is_incomplete(content: bytes) -> None:
    """A gateway that closes the stream cleanly, or sends junk, has not answered."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    with listener(head + content) as port:
        credentials = {"ANTHROPIC_API_KEY": "x", "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}"}
        async with transport() as model, asyncio.timeout(LIMIT):
            with pytest.raises(models.IncompleteReply) as failure:
                await model.complete(REQUEST, credentials=credentials)
    assert models.verdict(failure.value).retryable


def streamed(*blocks: tuple[dict[str, Any], list[str]], stop_reason: str = "tool_use") -> bytes:
    """A whole stream of blocks, each with the pieces that come of it."""
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"model": "m", "content": [], "usage": {"input_tokens": 1}}}
    ]
    for index, (block, pieces) in enumerate(blocks):
        member, kind = ("text", "text_delta") if block["type"] == "text" else ("partial_json", "input_json_delta")
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        deltas = [{"type": kind, member: piece} for piece in pieces]
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    events.append({"type": "message_delta", "delta": {"stop_reason": stop_reason}, "usage": {"output_tokens": 1}})
    events.append({"type": "message_stop"})
    head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    return (head + "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in events)).encode()


async def replied(answer: bytes) -> models.ModelReply:
    """The reply that comes of what a provider sends."""
    with listener(answer) as port:
        credentials = {"ANTHROPIC_API_KEY": "x", "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}"}
        async with transport() as model, asyncio.timeout(LIMIT):
            return await model.complete(REQUEST, credentials=credentials)


TOOL = {"type": "tool_use", "id": "1", "name": "read_file", "input": {}}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("block", "pieces"),
    [
        (TOOL, ['{"path": NaN}']),
        (TOOL, ['["path"]']),
        (TOOL, ["[" * 100_000]),
        ({**TOOL, "name": None}, ["{}"]),
        ({**TOOL, "id": None}, ["{}"]),
        ({"type": "text", "text": None}, []),
        ({"type": "text", "text": ""}, [None]),
    ],
)
async def test_a_block_that_could_not_be_sent_back_is_asked_for_again(block: dict[str, Any], pieces: list[str]) -> None:
    """Nothing that the provider would refuse gets into a conversation."""
    with pytest.raises(models.IncompleteReply) as failure:
        await replied(streamed((block, pieces)))
    assert models.verdict(failure.value).retryable


@pytest.mark.anyio
async def test_a_half_of_a_character_does_no_harm() -> None:
    """Two that came in two pieces are joined; one that is alone could not be sent back."""
    text = {"type": "text", "text": ""}
    reply = await replied(streamed((text, ["a \ud83d", "\ude00 b \ud83d"]), (TOOL, ['{"path": "\\ud83d"}'])))
    assert reply.content == [{"type": "text", "text": "a \U0001f600 b \ufffd"}, {**TOOL, "input": {"path": "\ufffd"}}]


@pytest.mark.anyio
async def test_a_provider_that_is_not_there_is_asked_again() -> None:
    """A refused connection names the address and is retried."""
    with OfflineMessagesApi() as api:
        gone = api
    found = await verdict_of(gone)
    assert (found.retryable, found.type) == (True, "connection_error")
    assert f"http://127.0.0.1:{gone.port} could not be reached" in found.sentence


@pytest.mark.anyio
@pytest.mark.parametrize("error", [None, Error()], ids=["in mid-reply", "before the reply"])
async def test_cancelling_a_call_stops_it(error: Error | None) -> None:
    """The provider sees the connection go, so that it does not go on at the user's cost."""
    with OfflineMessagesApi([Rule(hold="gate", reply="late", error=error)]) as api:
        call = asyncio.create_task(complete(api))
        await asyncio.to_thread(api.wait_for_requests, 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        gone = await asyncio.to_thread(api.wait_for_requests, 1, LIMIT, "client went away")
    assert len(gone) == 1


@pytest.mark.anyio
async def test_new_rules_hold_what_was_released_before() -> None:
    """So that a test does not depend on which one was before it; a reply that is held stays so, until it is let go."""
    with OfflineMessagesApi([Rule(match="first", hold="gate", reply="1"), Rule(match="early", hold="open")]) as api:
        api.release("open")
        await complete(api, asking("early"))
        first = asyncio.create_task(complete(api, asking("first")))
        await asyncio.to_thread(api.wait_for_requests, 2)
        api.replace(Rule(match="second", hold="gate", reply="2"), Rule(match="third", hold="open", reply="3"))
        held = [first, *(asyncio.create_task(complete(api, asking(each))) for each in ("second", "third"))]
        await asyncio.to_thread(api.wait_for_requests, 4)
        assert len(api.requests) == 4
        assert not any(each.done() for each in held)
        for name in ("gate", "open"):
            api.release(name)
        assert [(await each).text for each in held] == ["1", "2", "3"]


@pytest.mark.anyio
async def test_cancelling_one_call_leaves_the_others() -> None:
    """Calls that share a client do not share an end."""
    with OfflineMessagesApi([Rule(match="held", hold="gate", reply="late")]) as api:
        async with transport() as model, asyncio.timeout(LIMIT):

            def call(user: str) -> asyncio.Task[models.ModelReply]:
                """A call that has begun."""
                request = models.ModelRequest(tier="HAIKU", system="", user=user, max_tokens=1)
                return asyncio.create_task(model.complete(request, credentials=api.environment()))

            first, second = call("held 1"), call("held 2")
            await asyncio.to_thread(api.wait_for_requests, 2)
            first.cancel()
            await asyncio.to_thread(api.wait_for_requests, 1, LIMIT, "client went away")
            api.release("gate")
            assert (await second).text == "late"
            assert (await call("another")).text == "another"


@pytest.mark.anyio
async def test_nothing_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keys, addresses, headers, profiles and proxies of the worker's environment are not the run's."""
    (tmp_path / "configs").mkdir()
    profile = {"authentication": {"type": "user_oauth"}, "base_url": "http://127.0.0.1:9"}
    (tmp_path / "configs" / "default.json").write_text(json.dumps(profile), encoding="utf-8")
    for name, value in {
        "ANTHROPIC_API_KEY": "planted-key",
        "ANTHROPIC_AUTH_TOKEN": "planted-token",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
        "ANTHROPIC_CUSTOM_HEADERS": "Authorization: Bearer planted\nX-Planted: yes",
        "ANTHROPIC_CONFIG_DIR": str(tmp_path),
        "ANTHROPIC_PROFILE": "default",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    with OfflineMessagesApi(key="right") as api:
        assert (await complete(api)).text == "Greet alice"
        by_token = {"ANTHROPIC_AUTH_TOKEN": "right", "ANTHROPIC_API_KEY": "", "ANTHROPIC_BASE_URL": api.base_url}
        async with transport() as model:
            assert (await model.complete(REQUEST, credentials=by_token)).text == "Greet alice"
            with pytest.raises(Refusal, match="set ANTHROPIC_API_KEY"):
                await model.complete(REQUEST, credentials={"ANTHROPIC_BASE_URL": api.base_url})
        assert len(api.requests) == 2
        assert "x-planted" not in api.requests[0].headers


@pytest.mark.anyio
@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"ANTHROPIC_API_KEY": " "},
        {"ANTHROPIC_API_KEY": "planted\nkey"},
        {"ANTHROPIC_API_KEY": "plantedké"},
        {"ANTHROPIC_API_KEY": "planted", "ANTHROPIC_BASE_URL": "api.test"},
        {"ANTHROPIC_API_KEY": "planted", "ANTHROPIC_BASE_URL": "ftp://api.test"},
    ],
)
async def test_unusable_credentials_are_refused(credentials: dict[str, str]) -> None:
    """One sentence, without the key, before anything is sent."""
    async with transport() as model:
        with pytest.raises(Refusal) as refusal:
            await model.complete(REQUEST, credentials=credentials)
    assert "planted" not in str(refusal.value)
    assert not models.verdict(refusal.value).retryable


@pytest.mark.anyio
async def test_clients_are_kept_and_bounded() -> None:
    """Calls with one key share a connection; many keys do not pile up connections."""
    with OfflineMessagesApi() as api:
        async with transport() as model:
            for number in range(30):
                credentials = {**api.environment(), "ANTHROPIC_API_KEY": f"key-{number}"}
                for _ in range(2):
                    await model.complete(REQUEST, credentials=credentials)
            await waiting.eventually_async(lambda: api.open_connections <= 8, "the clients that are too many to close")
        assert len(api.requests) == 60
        assert api.connections == 30


@pytest.mark.anyio
async def test_the_offline_api_calls_tools_until_it_has_their_results() -> None:
    """A scripted agent: two tool calls at once, then the answer that a result leads to."""
    call = [ToolUse(name="weather", input={"city": "Oslo"}), ToolUse(name="clock")]
    rules = [Rule(match="rain", reply="take an umbrella"), Rule(match="Oslo", reply="let me see", tools=tuple(call))]
    tool: Any = {"name": "weather", "description": "", "input_schema": {"type": "object"}}
    with OfflineMessagesApi(rules) as api:
        async with client(api) as model:
            messages: list[Any] = [{"role": "user", "content": "How is Oslo?"}]
            async with model.messages.stream(model="m", max_tokens=9, messages=messages, tools=[tool]) as stream:
                asked = await stream.get_final_message()
            uses = [block for block in asked.content if block.type == "tool_use"]
            assert asked.stop_reason == "tool_use"
            assert [(use.name, use.input) for use in uses] == [("weather", {"city": "Oslo"}), ("clock", {})]
            results = [{"type": "tool_result", "tool_use_id": use.id, "content": "rain"} for use in uses]
            messages += [{"role": "assistant", "content": asked.content}, {"role": "user", "content": results}]
            told = await model.messages.create(model="m", max_tokens=9, messages=messages, tools=[tool])
    assert [block.text for block in told.content if block.type == "text"] == ["take an umbrella"]


@pytest.mark.anyio
async def test_the_offline_api_answers_with_json_of_the_schema() -> None:
    """A scripted object comes as JSON text; without a rule an instance of the schema does."""
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "pet": {"$ref": "#/$defs/Pet"}, "kind": {"enum": ["a", "b"]}},
        "$defs": {"Pet": {"type": "object", "properties": {"legs": {"type": "integer"}}}},
    }
    output: Any = {"format": {"type": "json_schema", "schema": schema}}
    with OfflineMessagesApi([Rule(match="scripted", reply={"name": "ä"})]) as api:
        async with client(api) as model:
            texts = []
            for prompt in ("scripted", "free"):
                reply = await model.messages.create(
                    model="m", max_tokens=9, messages=[{"role": "user", "content": prompt}], output_config=output
                )
                texts += [json.loads(block.text) for block in reply.content if block.type == "text"]
    assert texts == [{"name": "ä"}, {"name": "text", "pet": {"legs": 0}, "kind": "a"}]


@pytest.mark.anyio
async def test_the_offline_api_uses_rules_in_order_and_as_often_as_told() -> None:
    """A rule that is used up makes way; a reply may be a function of the request."""
    rules = [
        Rule(match="alice", error=Error(), times=1),
        Rule(match="alice", reply=lambda body: f"for {body['model']}", times=1, delay_seconds=0.01),
    ]
    with OfflineMessagesApi(rules) as api:
        assert (await verdict_of(api)).type == "overloaded_error"
        assert (await complete(api)).text == "for claude-haiku-5-5"
        assert (await complete(api)).text == "Greet alice"


@pytest.mark.anyio
@pytest.mark.parametrize(("user", "max_tokens"), [("", 1), ("hi", 0)])
async def test_the_offline_api_refuses_what_the_real_one_refuses(user: str, max_tokens: int) -> None:
    """A malformed request is a 400 here as well."""
    with OfflineMessagesApi() as api, pytest.raises(anthropic.BadRequestError):
        await complete(api, models.ModelRequest(tier="HAIKU", system="", user=user, max_tokens=max_tokens))


@pytest.mark.anyio
async def test_closing_the_offline_api_ends_what_it_holds() -> None:
    """A held call ends with the server, and no thread stays."""
    before = daemons()
    with OfflineMessagesApi([Rule(hold="never")]) as api:
        call = asyncio.create_task(verdict_of(api))
        await asyncio.to_thread(api.wait_for_requests, 1)
    found = await call
    assert found.retryable
    assert api.requests[0].outcome == "server closed"
    assert api.open_connections == 0
    await waiting.eventually_async(lambda: daemons() <= before, "the server's threads to end")


def test_waiting_for_requests_that_do_not_come_says_what_came() -> None:
    """The wait is bounded."""
    with OfflineMessagesApi() as api, pytest.raises(TimeoutError, match=r"1 requests \(any\) did not come.*none"):
        api.wait_for_requests(1, seconds=0.01)


def test_a_script_may_be_json() -> None:
    """It says the same as one in Python."""
    text = """[
        {"match": "a", "reply": {"b": 1}, "times": 2, "usage": {"input_tokens": 3}},
        {"tools": [{"name": "t", "input": {"x": 1}}], "stop_reason": "max_tokens"},
        {"error": {"status": 429, "retry_after": 2}, "hold": "gate", "delay_seconds": 0.5, "drop": true}
    ]"""
    rules = [
        Rule(match="a", reply={"b": 1}, times=2, usage={"input_tokens": 3}),
        Rule(tools=(ToolUse(name="t", input={"x": 1}),), stop_reason="max_tokens"),
        Rule(error=Error(status=429, retry_after=2), hold="gate", delay_seconds=0.5, drop=True),
    ]
    assert script(text) == rules


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{}", "a script is a list"),
        ("[1]", "not a JSON object"),
        ('[{"replies": 1}]', "no field 'replies'"),
        ('[{"match": "("}]', "not a regular expression"),
        ('[{"tools": 1}]', "not a list"),
        ('[{"error": {"code": 1}}]', "Error has no field 'code'"),
    ],
)
def test_a_wrong_script_is_refused_with_its_reason(text: str, reason: str) -> None:
    """A misspelt rule does not silently never match."""
    with pytest.raises(ValueError, match=reason):
        script(text)


@pytest.mark.anyio
async def test_the_offline_api_runs_as_a_process(tmp_path: Path) -> None:
    """Script, log and port go by files, and a gate is released over HTTP."""
    rules, log, port_file = tmp_path / "rules.json", tmp_path / "calls.jsonl", tmp_path / "port"
    rules.write_text('[{"match": "alice", "reply": "hello", "hold": "gate"}]', encoding="utf-8")
    with offline_process("--script", rules, "--log", log, "--port-file", port_file) as process:
        await waiting.eventually_async(port_file.exists, "the port")
        base_url = f"http://127.0.0.1:{port_file.read_text(encoding='utf-8').strip()}"
        async with transport() as model, asyncio.timeout(LIMIT):
            credentials = {"ANTHROPIC_API_KEY": "x", "ANTHROPIC_BASE_URL": base_url}
            call = asyncio.create_task(model.complete(REQUEST, credentials=credentials))
            await waiting.eventually_async(log.exists, "a line in the log")
            await asyncio.to_thread(fetch, f"{base_url}/_offline/release/gate", b"")
            assert (await call).text == "hello"
        listed = await asyncio.to_thread(fetch, f"{base_url}/_offline/requests")
        process.send_signal(signal.SIGTERM)
        printed, _ = await asyncio.to_thread(process.communicate, timeout=LIMIT)
    assert (process.returncode, printed) == (0, b"")
    assert [each["number"] for each in listed] == [1]
    assert [json.loads(line)["outcome"] for line in log.read_text(encoding="utf-8").splitlines()] == [
        "open",
        "answered",
    ]


def test_the_types_cost_no_slow_import() -> None:
    """A launch that checks a request, and a test that scripts a reply, do not wait for `anthropic`."""
    code = "import sagaflow_mcp.models, sagaflow_mcp.testing.messages_api, sys; print('anthropic' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=LIMIT, check=True, env=environment
    )
    assert done.stdout == "False\n"
