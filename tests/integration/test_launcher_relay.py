"""The launcher between a client and a small real MCP server, in both generations of the protocol."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from sagaflow_mcp import wire
from sagaflow_mcp.manifest import Manifest
from tests.integration.launched import LEGACY, LIMIT, MODERN, Launched, small_server
from tests.process_table import is_gone, kill
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEGABYTES = 5_000_000


@pytest.fixture(scope="module", params=[MODERN, LEGACY])
def version(request: pytest.FixtureRequest) -> str:
    """The protocol that the client speaks."""
    return str(request.param)


def environment(folder: Path) -> dict[str, str]:
    """An environment in which the small server is the real one; what its tool `wait` writes is in `folder`."""
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "SAGAFLOW_SERVER": small_server(folder)}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """That of a launcher of one's own."""
    return environment(tmp_path)


@pytest.fixture(scope="module")
def waits(version: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the server behind `shared`."""
    return tmp_path_factory.mktemp(version)


@pytest.fixture(scope="module")
def shared(version: str, waits: Path) -> Iterator[Launched]:
    """A launcher whose client has shaken hands, for all tests that do not end it."""
    with Launched(version, environment(waits)) as started:
        started.begin()
        yield started


@pytest.fixture
def launched(shared: Launched) -> Iterator[Launched]:
    """The same; whatever is said to a test, it has looked at."""
    yield shared
    assert shared.heard_nothing_else()


@pytest.fixture
def fresh(version: str, environ: dict[str, str]) -> Iterator[Launched]:
    """A launcher of one's own, whose client has shaken hands and whose server is not there yet."""
    with Launched(version, environ) as started:
        started.begin()
        yield started


@pytest.fixture
def up(launched: Launched) -> Launched:
    """The same with a server that has answered."""
    launched.call("up", "echo", text="up")
    assert launched.said("up") == "up"
    return launched


def server_pid(launched: Launched) -> int:
    """The process that is the server now."""
    launched.call("pid", "pid")
    return int(launched.said("pid"))


def pid_in(path: Path) -> int:
    """The pid that the tool `wait` writes, once it is there."""
    eventually(lambda: path.exists() and path.read_text(encoding="utf-8"), seconds=LIMIT)
    return int(path.read_text(encoding="utf-8"))


def test_what_the_manifest_knows_is_answered_without_a_server(version: str, environ: dict[str, str]) -> None:
    """Also where there is no server at all."""
    known = Manifest.load()
    answers = known.modern if version == MODERN else known.legacy
    with Launched(version, {**environ, "SAGAFLOW_SERVER": "false"}) as launched:
        greeting = launched.begin()
        assert greeting == answers["server/discover" if version == MODERN else "initialize"]
        assert greeting["capabilities"]["tools"]["listChanged"] is True
        for method in ("tools/list", "resources/list", "resources/templates/list", "prompts/list"):
            launched.ask(method, method)
            assert launched.result(method) == answers[method]
        launched.ask("ping", "ping")
        assert launched.next(id="ping").get("result") == ({} if version == LEGACY else None)
        assert launched.leave() == 0
        assert launched.complaints == []


def test_calls_made_before_the_server_is_up_are_answered_in_order(fresh: Launched) -> None:
    """Each under its own id, whatever kind of id that is."""
    keys: list[int | str] = [1, "1", 2, "two", 3]
    for key in keys:
        fresh.call(key, "echo", text=repr(key))
    for key in keys:
        assert fresh.said(key) == repr(key)
    assert fresh.heard_nothing_else()


def test_lists_come_from_the_server_once_it_is_up(up: Launched) -> None:
    """So that tools that come and go are seen."""
    up.ask("list", "tools/list")
    assert "paint" in {tool["name"] for tool in up.result("list")["tools"]}
    up.ask("read", "resources/read", uri="small://thing")
    assert up.result("read")["contents"][0]["text"] == "this is thing"


def test_what_the_server_refuses_is_its_own_answer(launched: Launched) -> None:
    """A method that nobody knows is not the launcher's business."""
    launched.ask("what", "what/ever")
    assert launched.next(id="what")["error"]["code"] == wire.METHOD_NOT_FOUND


def test_progress_is_passed_on(launched: Launched) -> None:
    """Under the client's own token."""
    launched.call(1, "steps", meta={"progressToken": "token"})
    told = [launched.next(method="notifications/progress")["params"] for _ in range(2)]
    assert [(each["progressToken"], each["message"]) for each in told] == [("token", "half"), ("token", "whole")]
    assert launched.said(1) == "done"


def painted(launched: Launched, key: int) -> str:
    """What the tool `paint` says to a client that answers its question with red."""
    launched.call(key, "paint")
    answer = {"action": "accept", "content": {"colour": "red"}}
    if launched.version == LEGACY:
        question = launched.next(method="elicitation/create")
        launched.send({"jsonrpc": "2.0", "id": question["id"], "result": answer})
        return launched.said(key)
    first = launched.result(key)
    (name,) = first["inputRequests"]
    params: dict[str, Any] = {"name": "paint", "arguments": {}, "inputResponses": {name: answer}}
    launched.ask(key + 1, "tools/call", **params, requestState=first["requestState"])
    return launched.said(key + 1)


def test_questions_reach_the_client_and_answers_the_server(launched: Launched) -> None:
    """Also after a restart, when the server counts its questions from one again."""
    assert painted(launched, 1) == "painted red"
    kill(server_pid(launched))
    assert painted(launched, 3) == "painted red"


def test_a_cancelled_call_is_not_answered_and_holds_nothing_up(fresh: Launched, tmp_path: Path) -> None:
    """Neither while it waits for the server, nor while the server works on it."""
    fresh.call_and_cancel(1, "echo", text="late")
    fresh.call(2, "wait", name="two")
    pid_in(tmp_path / "two")
    fresh.notify("notifications/cancelled", requestId=2)
    fresh.call(3, "echo", text="three")
    assert fresh.said(3) == "three"
    kill(server_pid(fresh))
    fresh.call(4, "echo", text="four")
    assert fresh.said(4) == "four"
    assert fresh.heard_nothing_else()


def test_the_answer_to_a_cancelled_call_is_dropped(up: Launched) -> None:
    """The server answers a quick call before it reads that it was cancelled."""
    for key in range(10):
        up.call_and_cancel(key, "echo", text="late")
    up.call("next", "echo", text="next")
    assert up.said("next") == "next"
    assert up.heard_nothing_else()


@pytest.mark.parametrize("direction", ["up", "down"])
def test_megabytes_go_through(launched: Launched, direction: str) -> None:
    """In one line, either way."""
    if direction == "down":
        launched.call(1, "big", size=MEGABYTES)
        assert len(launched.said(1)) == MEGABYTES
    else:
        text = 'y"}' * (MEGABYTES // 3)
        launched.call("key", "echo", text=text)
        assert launched.said("key") == text


def test_a_client_that_does_not_read_is_waited_for(launched: Launched) -> None:
    """All of it is there when it reads."""
    for key in range(20):
        launched.call(key, "big", size=1_000_000)
    assert {len(launched.said(key)) for key in range(20)} == {1_000_000}


def test_a_server_that_dies_between_calls_is_started_again(up: Launched) -> None:
    """Nobody notices."""
    first = server_pid(up)
    kill(first)
    up.call(1, "echo", text="again")
    assert up.said(1) == "again"
    assert server_pid(up) != first
    assert up.heard_nothing_else()


def test_a_server_that_dies_during_a_call_is_told_of_and_the_next_call_works(launched: Launched, waits: Path) -> None:
    """In one sentence, which the model can read."""
    launched.call(1, "wait", name="one")
    launched.ask(2, "resources/read", uri="small://two")
    assert launched.result(2)
    kill(pid_in(waits / "one"))
    failed = launched.result(1)
    assert failed["isError"] is True
    assert failed.get("resultType") == ("complete" if launched.is_modern else None)
    assert "SIGKILL" in failed["content"][0]["text"]
    launched.call(3, "echo", text="three")
    assert launched.said(3) == "three"


def test_an_open_question_is_taken_back_when_the_server_dies(environ: dict[str, str]) -> None:
    """Its late answer reaches nobody, least of all the next server's question of the same number."""
    with Launched(LEGACY, environ) as launched:
        launched.begin()
        pid = server_pid(launched)
        launched.call(1, "paint")
        first = launched.next(method="elicitation/create")
        kill(pid)
        cancelled = launched.next(method="notifications/cancelled")
        assert cancelled["params"]["requestId"] == first["id"]
        assert launched.result(1)["isError"]
        launched.call(2, "paint")
        second = launched.next(method="elicitation/create")
        assert second["id"] != first["id"]
        launched.send({"jsonrpc": "2.0", "id": first["id"], "result": {"action": "decline"}})
        answer = {"action": "accept", "content": {"colour": "blue"}}
        launched.send({"jsonrpc": "2.0", "id": second["id"], "result": answer})
        assert launched.said(2) == "painted blue"


def test_a_subscription_is_acknowledged_at_once_and_outlives_the_server(environ: dict[str, str]) -> None:
    """Once only, although each server acknowledges it anew."""
    with Launched(MODERN, environ) as launched:
        launched.begin()
        launched.ask("listen:0", "subscriptions/listen", notifications={"toolsListChanged": True})
        acknowledged = launched.next(method="notifications/subscriptions/acknowledged")["params"]
        assert acknowledged["_meta"] == {wire.SUBSCRIPTION_KEY: "listen:0"}
        assert acknowledged["notifications"] == {"toolsListChanged": True}
        for key in (1, 2):
            launched.call(key, "grow")
            changed = launched.next(method="notifications/tools/list_changed")
            assert changed["params"]["_meta"] == {wire.SUBSCRIPTION_KEY: "listen:0"}
            assert launched.said(key) == "grown"
            kill(server_pid(launched))
        launched.notify("notifications/cancelled", requestId="listen:0")
        launched.call(3, "grow")
        assert launched.said(3) == "grown"
        assert launched.heard_nothing_else()


def test_a_server_that_does_not_start_is_told_of_and_not_tried_in_a_loop(fresh: Launched, tmp_path: Path) -> None:
    """With its last words; the next call tries again."""
    tmp_path.joinpath("broken").touch()
    fresh.call(1, "echo", text="one")
    failed = fresh.result(1)
    assert failed["isError"]
    assert "did not start (exit status 1: this server is broken)" in failed["content"][0]["text"]
    tmp_path.joinpath("broken").unlink()
    fresh.call(2, "echo", text="two")
    assert fresh.said(2) == "two"
    assert fresh.complaints == ["this server is broken\n"]


ENDINGS = [
    *((ending, True) for ending in (None, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL)),
    (None, False),
    (signal.SIGINT, False),
]
"""How the launcher ends (by the end of its input, or by a signal), and whether the server is busy meanwhile."""


@pytest.mark.parametrize(("ending", "busy"), ENDINGS)
def test_nothing_is_left_when_the_launcher_ends(
    environ: dict[str, str], tmp_path: Path, ending: signal.Signals | None, busy: bool
) -> None:
    """By the end of its input, by a signal, and even by kill -9."""
    with Launched(MODERN, environ) as launched:
        launched.begin()
        pid = server_pid(launched)
        if busy:
            launched.call(1, "wait", name="one")
            assert pid_in(tmp_path / "one") == pid
        if ending is None:
            assert launched.leave() == 0
        else:
            launched.process.send_signal(ending)
            assert launched.process.wait(LIMIT) == (-signal.SIGKILL if ending is signal.SIGKILL else 0)
        if ending is signal.SIGKILL:
            eventually(lambda: is_gone(pid), seconds=LIMIT)
        assert is_gone(pid)


def test_in_a_run_there_are_no_tools_and_no_server(version: str, environ: dict[str, str]) -> None:
    """A run's own Claude Code must not launch runs."""
    with Launched(version, {**environ, "SAGAFLOW_IN_RUN": "1"}) as launched:
        assert "instructions" not in launched.begin()
        launched.ask("list", "tools/list")
        assert launched.result("list")["tools"] == []
        launched.call(1, "echo", text="one")
        failed = launched.result(1)
        assert failed["isError"]
        assert "a run does not use Sagaflow's tools" in failed["content"][0]["text"]


def test_what_is_no_message_is_refused(launched: Launched) -> None:
    """And the next message is answered."""
    lines = [b"{\n", b"[]\n", b"7\n", b'{"id": [1], "method": "x"}\n', b'{"jsonrpc": "2.0"}\n', b"\xff\n"]
    for number, line in enumerate(lines):
        launched.send(line)
        assert launched.next(id=None)["error"]["code"] in {wire.PARSE_ERROR, wire.INVALID_REQUEST}
        launched.call(number, "echo", text="one")
        assert launched.said(number) == "one"


def test_an_unknown_protocol_version_is_refused_by_name(environ: dict[str, str]) -> None:
    """With those that would be taken."""
    with Launched(MODERN, environ) as launched:
        launched.ask(1, "server/discover", meta={wire.VERSION_KEY: "2031-01-01"})
        error = launched.next(id=1)["error"]
        assert error["code"] == wire.UNSUPPORTED_VERSION
        assert error["data"] == {"supported": [MODERN], "requested": "2031-01-01"}
        assert launched.begin()


@pytest.mark.parametrize(("wanted", "settled"), [("2024-11-05", "2024-11-05"), ("1999-01-01", LEGACY), (7, LEGACY)])
def test_a_handshake_settles_on_a_version(environ: dict[str, str], wanted: Any, settled: str) -> None:
    """The client's where it is known, else the newest; and the server settles on the same."""
    with Launched(LEGACY, environ) as launched:
        launched.version = wanted
        assert launched.begin()["protocolVersion"] == settled
        if wanted != 7:
            launched.call(1, "echo", text="one")
            assert launched.said(1) == "one"


def test_a_client_may_look_around_before_it_shakes_hands(environ: dict[str, str]) -> None:
    """Should it not like what it finds."""
    with Launched(MODERN, environ) as launched:
        launched.begin()
        launched.version = LEGACY
        launched.begin()
        launched.call(1, "echo", text="one")
        assert json.dumps(launched.result(1)).count("resultType") == 0
