"""The engine with the real Temporal server and a stand-in worker: real processes, really killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sagaflow_mcp import control, engine_client, engine_start, temporal_server
from sagaflow_mcp.errors import Failure
from sagaflow_mcp.paths import Home
from sagaflow_mcp.processes import Place
from tests import process_table, waiting
from tests.integration import stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = waiting.LIMIT_SECONDS

Status = dict[str, Any]

REAL = stand_in.program(server="real")


def idle(seconds: float) -> dict[str, str]:
    """The environment of an engine that stops after so long with nothing to do."""
    return {**os.environ, "SAGAFLOW_IDLE_SECONDS": str(seconds)}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home of its own, in which nothing runs afterwards."""
    home = Home(str(tmp_path / "home")).prepare()
    yield home
    engine_client.stop(home)
    waiting.eventually(lambda: not process_table.naming(home.root), "no process left")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with an engine, for the tests that leave it running."""
    home = Home(str(tmp_path_factory.mktemp("shared") / "home")).prepare()
    yield home
    engine_client.stop(home)
    waiting.eventually(lambda: not process_table.naming(home.root), "no process left")


def running(home: Home, using: list[str] = REAL) -> Status:
    """The status of the engine once both children are ready."""
    engine_client.ready(home, program=using)
    found = engine_client.status(home)
    assert found is not None
    return found


def pids(status: Status) -> dict[str, int]:
    """The pids in a status."""
    own = {"engine": status["pid"], "keeper": status["keeper"]}
    return own | {name: status[name]["pid"] for name in ("server", "worker")}


def running_without(home: Home, killed: set[int]) -> Status:
    """The status once all runs again and none of the killed processes is among it."""

    def look() -> Status | None:
        """The status when that is so."""
        found = engine_client.status(home)
        return found if found and found["state"] == "running" and not killed & set(pids(found).values()) else None

    return waiting.eventually(look, "running again")


def asked(home: Home, digest: str) -> dict[str, Any]:
    """What the stand-in worker wrote down when it was asked for that skill version."""
    found: dict[str, Any] = json.loads(Path(home.root, f"asked-{digest}.json").read_text(encoding="utf-8"))
    return found


VICTIMS = [
    "server",
    "worker",
    "server worker",
    "engine",
    "engine server worker",
    "keeper engine",
    "keeper engine server",
    "keeper",
]
"""What is killed at once. Where it was the keeper alone there is none afterwards, so that this comes last."""


def test_what_is_killed_comes_back_and_the_rest_lives_on(home: Home) -> None:
    """On the same address, with nobody asking for it, with the credentials that were given before."""
    for number, victims in enumerate(VICTIMS):
        given = {"KEY": f"secret {number}"}
        engine_client.ready(home, program=REAL, run_id="run-1", credentials=given)
        before = running(home)
        killed = {pids(before)[name] for name in victims.split()}
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

        if victims == "keeper":
            after = waiting.eventually(
                lambda: found if (found := engine_client.status(home)) and not found["keeper"] else None, "no keeper"
            )
        else:
            after = running_without(home, killed)

        for name, pid in pids(before).items():
            assert (pids(after)[name] == pid) is (name not in victims.split()), (victims, name)
        if "worker" not in victims:
            assert after["worker"]["started_at"] == before["worker"]["started_at"], victims
        assert after["server"]["address"] == before["server"]["address"], victims
        assert temporal_server.accepts(temporal_server.recorded(home) or pytest.fail("no ports on record")), victims
        if "engine" not in victims or "worker" not in victims:
            engine_client.ready(home, program=REAL, skill="any", digest=f"after-{number}")
            assert asked(home, f"after-{number}")["credentials"]["runs"] == {"run-1": given}, victims


def test_starters_at_once_make_one_engine(home: Home) -> None:
    """Eight processes that need the engine get the same one."""
    code = (
        "import sys, json; from sagaflow_mcp import engine_client; from sagaflow_mcp.paths import Home; "
        "print(engine_client.ensure(Home(sys.argv[1]), program=sys.argv[2:])['pid'])"
    )
    command = [sys.executable, "-c", code, home.root, *stand_in.program()]

    def start(_: int) -> str:
        """The pid of the engine that one of them got."""
        return subprocess.run(command, capture_output=True, encoding="utf-8", check=True, timeout=LIMIT).stdout

    with ThreadPoolExecutor(8) as pool:
        told = set(pool.map(start, range(8)))
    assert len(told) == 1
    status = running(home, stand_in.program())
    assert {str(status["pid"])} == {text.strip() for text in told}
    waiting.eventually(
        lambda: len(process_table.naming(home.root)) == 4, "one keeper, engine, server and worker, and nothing else"
    )


def test_a_worker_in_a_crash_loop_is_given_up_with_its_reason(home: Home) -> None:
    """And tried once more for the next who needs it, without waiting out another loop."""
    using = stand_in.program(worker="crash")
    with pytest.raises(Failure, match=r"the worker failed 5 times in a row: exit status 1: .*the worker cannot go on"):
        engine_client.ready(home, program=using)
    status = engine_client.status(home)
    assert status is not None
    assert status["state"] == "failed"
    assert "\x1b" not in status["reason"]
    with pytest.raises(Failure, match="the worker cannot go on"):
        engine_client.ready(home, program=using)
    again = engine_client.status(home)
    assert again is not None
    assert again["worker"]["restarts"] == status["worker"]["restarts"] + 1


@pytest.mark.parametrize(("kind", "lack"), [("gone", "was not connected"), ("silent", "reported no state")])
def test_a_worker_that_hangs_is_killed_and_started_again(home: Home, kind: str, lack: str) -> None:
    """Alive and of no use, with or without its connection; the log tells why."""
    using = stand_in.program(worker=kind)
    engine_client.ensure(home, program=using)
    hung = waiting.eventually(lambda: (status := engine_client.status(home)) and status["worker"]["pid"], "a worker")
    after = running_without(home, {hung})
    assert after["worker"]["restarts"] >= 1
    log = Path(home.engine, "engine.log").read_text(encoding="utf-8")
    assert f"worker {hung} is ended: it hangs: it {lack} for 1 s" in log
    assert f"the worker failed: it hangs: it {lack} for 1 s" in log


def test_a_server_that_does_not_start_is_given_up_with_its_reason(home: Home) -> None:
    """The worker is never started then."""
    with pytest.raises(Failure, match="the server cannot go on"):
        engine_client.ready(home, program=stand_in.program(server="crash"))
    status = engine_client.status(home)
    assert status is not None
    assert status["worker"]["pid"] is None


def test_ready_reaches_the_worker_with_the_credentials_first(home: Home) -> None:
    """When the worker is asked for the skill it has what the run needs."""
    engine_client.ready(
        home, program=stand_in.program(), skill="s", digest="d1", run_id="run-1", credentials={"KEY": "secret"}
    )
    assert asked(home, "d1")["name"] == "s"
    assert asked(home, "d1")["credentials"] == {"latest": {"KEY": "secret"}, "runs": {"run-1": {"KEY": "secret"}}}
    assert engine_client.has_credentials(home)
    assert engine_client.worker_ready(home)
    for path in Path(home.engine).iterdir():
        assert path.is_socket() or b"secret" not in path.read_bytes()


def test_an_idle_engine_stops_by_itself(home: Home) -> None:
    """With no open run, and leaves no process and no socket."""
    engine_client.ready(home, program=stand_in.program(), environ=idle(0.3))
    waiting.eventually(lambda: not process_table.naming(home.root), "stopped when idle")
    assert not Path(control.path(home)).exists()
    assert "idle for 0.3 s" in Path(home.engine, "engine.log").read_text(encoding="utf-8")


def test_ready_during_an_idle_stop_is_not_lost(home: Home) -> None:
    """Whoever asks just then gets the next engine."""
    for _ in range(2):
        assert engine_client.ready(home, program=stand_in.program(), environ=idle(0.05))
        waiting.eventually(
            lambda: (engine_client.status(home) or {"state": "stopping"})["state"] == "stopping", "a stop"
        )


def test_askers_around_an_idle_stop_all_get_an_address(home: Home) -> None:
    """Wherever their request falls, with an idle time so short that an engine stops between two requests."""
    engines: set[int | None] = set()

    def ask_until_there_were_three_engines(_: int) -> bool:
        """True, after many requests that were all answered."""
        while len(engines - {None}) < 3:
            assert engine_client.ready(home, program=stand_in.program(), environ=idle(0.0005))
            engines.add(Place(home.engine, "engine").pid())
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask_until_there_were_three_engines, range(4)))


def test_an_engine_is_ended_in_every_way_and_started_again(home: Home) -> None:
    """One home, since to start an engine is what takes long."""
    again = a_stop_leaves_no_process_and_the_next_start_finds_its_ports(home)
    sigterm_stops_it_in_order(home, again)
    moved = a_port_that_is_taken_meanwhile_makes_the_server_move(home, again)
    children_whose_engine_and_keeper_are_dead_are_found_by_their_locks(home, moved)


def a_stop_leaves_no_process_and_the_next_start_finds_its_ports(home: Home) -> dict[str, Any]:
    """Also when called twice. Clients find the server where it was; 7233 is not among the ports."""
    before = running(home)["server"]["address"]
    assert engine_client.stop(home)
    waiting.eventually(lambda: not process_table.naming(home.root), "stopped")
    assert not engine_client.stop(home)
    assert engine_client.status(home) is None
    again = running(home, stand_in.program())
    assert again["server"]["address"] == before
    assert temporal_server.recorded(home)
    assert "7233" not in before
    return again


def sigterm_stops_it_in_order(home: Home, status: dict[str, Any]) -> None:
    """The keeper does not start it again."""
    os.kill(status["pid"], signal.SIGTERM)
    waiting.eventually(lambda: not process_table.naming(home.root), "stopped by SIGTERM")


def a_port_that_is_taken_meanwhile_makes_the_server_move(home: Home, before: dict[str, Any]) -> dict[str, Any]:
    """And the worker follow."""
    ports = temporal_server.recorded(home)
    assert ports is not None
    with socket.socket() as somebody:
        somebody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        somebody.bind(("127.0.0.1", ports.grpc))
        somebody.listen()
        after = running(home, stand_in.program())
    assert after["server"]["address"] != before["server"]["address"]
    return after


def children_whose_engine_and_keeper_are_dead_are_found_by_their_locks(home: Home, status: dict[str, Any]) -> None:
    """And ended with a stop."""
    for name in ("worker", "keeper", "engine"):
        os.kill(pids(status)[name], signal.SIGKILL)
    assert engine_client.stop(home)
    assert not Place(home.engine, "server").alive()


def test_a_home_with_a_long_path_works(tmp_path: Path) -> None:
    """A path longer than a socket's name may be."""
    home = Home(str(tmp_path / ("long-" * 25) / "home")).prepare()
    try:
        assert len(control.path(home)) > 108
        assert running(home, stand_in.program())["state"] == "running"
    finally:
        engine_client.stop(home)


def test_an_engine_of_an_older_version_is_replaced(home: Home) -> None:
    """By one of this version; a newer one is left alone."""
    code = (
        "import sys, sagaflow_mcp; sagaflow_mcp.__version__ = sys.argv[1]; "
        "from sagaflow_mcp import children, engine; from sagaflow_mcp.paths import Home; "
        "sys.exit(engine.Engine(Home(sys.argv[2]), children.Commands(['false'], ['false'])).run())"
    )
    older = engine_client.ensure(home, program=[sys.executable, "-c", code, "9.0.10"])
    assert older["version"] == "9.0.10"
    engine_client.stop(home)
    os.close(engine_start.start(home, program=[sys.executable, "-c", code, "0.0.9"]))
    waiting.eventually(lambda: (engine_client.status(home) or {}).get("version") == "0.0.9", "the older one")
    assert engine_client.ensure(home, program=stand_in.program())["version"] != "0.0.9"


def test_an_engine_that_cannot_start_is_reported_with_its_last_words(home: Home) -> None:
    """And whoever waits is told before the time is up."""
    with pytest.raises(Failure, match=r"the engine could not be started: .*no such thing"):
        engine_client.ensure(home, program=["/bin/sh", "-c", "echo no such thing; exit 1"])


def test_a_skill_that_the_worker_refuses_is_told_in_its_own_sentence(shared: Home) -> None:
    """The reason reaches whoever wanted to launch."""
    with pytest.raises(Failure, match=r"^skill 'broken' is broken$"):
        engine_client.ready(shared, program=stand_in.program(), skill="broken", digest="x")


def test_a_request_that_cannot_be_read_is_refused(shared: Home) -> None:
    """Not JSON, no object, too long, unknown: one sentence each, and the engine goes on."""
    engine_client.ensure(shared, program=stand_in.program())
    for line, reason in [
        (b"not json\n", "cannot be read"),
        (b"[1]\n", "no JSON object"),
        (b"x" * (control.LONGEST_LINE + 1), "longer than"),
        (b'{"op": "dance"}\n', "'dance' is not known"),
        (b'{"op": "ready", "run_id": "../x"}\n', "run_id"),
        (b'{"op": "ready", "credentials": {"KEY": 1}}\n', "object of strings"),
        (b'{"op": "worker", "pid": 1}\n', "not the pid"),
    ]:
        with control.connect(shared, LIMIT) as connection, connection.makefile("rb") as answers:
            connection.sendall(line)
            answer = json.loads(answers.readline())
        assert answer["ok"] is False
        assert reason in answer["error"]
    assert engine_client.status(shared)


def test_an_engine_with_too_many_connections_is_told_of_in_its_own_sentence(shared: Home) -> None:
    """Whoever asks meets no bug, and the engine serves again once the others are gone."""
    engine_client.ensure(shared, program=stand_in.program())
    with contextlib.ExitStack() as crowd:
        refused = False
        while not refused:
            channel = crowd.enter_context(contextlib.closing(control.Channel(control.connect(shared, LIMIT))))
            with contextlib.suppress(BrokenPipeError):
                channel.send({"op": "status"})
            refused = (channel.receive() or pytest.fail("no answer"))["ok"] is False
        assert engine_client.status(shared) is None
        assert not engine_client.worker_ready(shared)
        with pytest.raises(Failure, match=r"the engine refused for 0\.2 s: the engine has too many connections"):
            engine_client.ensure(shared, program=stand_in.program(), deadline_seconds=0.2)
    waiting.eventually(lambda: engine_client.status(shared), "an answer")


def test_the_socket_is_for_its_owner_alone(shared: Home) -> None:
    """Mode 0600."""
    engine_client.ensure(shared, program=stand_in.program())
    assert Path(control.path(shared)).stat().st_mode & 0o777 == 0o600
