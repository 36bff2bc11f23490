"""A Temporal server of the user's own in place of the embedded one: in the clear, and behind certificates and a key."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sagaflow_mcp import (
    artifacts,
    connection,
    doctor,
    engine_client,
    faces,
    health,
    json_fields,
    keys,
    launch,
    markers,
    processes,
    records,
    temporal,
)
from sagaflow_mcp.durable.open_runs import NEVER_STARTED_AFTER, OpenRuns
from sagaflow_mcp.errors import Failure, Refusal, SagaflowError
from sagaflow_mcp.settings import Settings
from sagaflow_mcp.testing import LocalSagaflow, Rule
from tests.integration.clients import as_process
from tests.integration.own_temporal import Certificates, DevServer, Front, free_port, temporal_command
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

SKILLS = Path(__file__).parent / "skills"
KEY = "a-key-of-the-tests"
LIMIT = 40


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    """A server that somebody has started."""
    with DevServer(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Those that the front asks for."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def front(server: DevServer, certificates: Certificates) -> Iterator[Front]:
    """The same server for those who have a certificate and the key."""
    with Front(server.address, certificates, KEY) as started:
        yield started


@contextlib.contextmanager
def sagaflow(config: str) -> Iterator[LocalSagaflow]:
    """A Sagaflow whose home has that `config.toml`."""
    local = LocalSagaflow(skills=[SKILLS])
    write(local, config)
    with local:
        yield local


def write(local: LocalSagaflow, config: str) -> None:
    """Make `config` the home's `config.toml`."""
    home = local.folder / "home"
    home.mkdir(mode=0o700, exist_ok=True)
    home.joinpath("config.toml").write_text(config, encoding="utf-8")


def in_the_clear(server: DevServer) -> str:
    """What leads to the server itself."""
    return f'[temporal]\naddress = "{server.address}"\n'


def tls(certificates: Certificates, **changed: Path | None) -> str:
    """The keys of a table `tls`."""
    paths = {
        "server_ca_cert_path": certificates.authority,
        "client_cert_path": certificates.client,
        "client_key_path": certificates.client_key,
        **changed,
    }
    return "".join(f'{name} = "{path}"\n' for name, path in paths.items() if path)


def secured(front: Front, certificates: Certificates, key: str = f'api_key = "{KEY}"') -> str:
    """What leads through the front."""
    return f'[temporal]\naddress = "{front.address}"\n{key}\n[temporal.tls]\n{tls(certificates)}'


def check(local: LocalSagaflow, name: str) -> health.Check:
    """What doctor finds under that name."""
    (found,) = [each for each in doctor.examine(local.environment(), faces.CLI) if each.name == name]
    return found


def status(local: LocalSagaflow) -> dict[str, Any]:
    """The engine's status; empty while none answers."""
    return engine_client.status(local.settings.home) or {}


def prepared(folder: str) -> Path:
    """That folder, made."""
    Path(folder).mkdir()
    return Path(folder)


def is_untouched(local: LocalSagaflow) -> bool:
    """Whether nothing was started and nothing of a run is left."""
    home = local.settings.home
    return not (
        processes.Place(home.engine, "engine").alive() or markers.run_ids(home) or list(Path(home.runs).iterdir())
    )


def works(local: LocalSagaflow, address: str) -> str:
    """The id of a run that was launched by the command and ended well, on the server at `address`.

    Doctor names that server, and no server of ours runs.
    """
    found = check(local, "temporal")
    assert found.level == "warn"
    assert found.finding.startswith(f"your own server at {address}, namespace default (from ")
    assert found.finding.endswith("it answers, and keeps closed runs for 24h 00m")
    assert is_untouched(local)

    launched = as_process(local, "launch", "endings", "--how", "return", "--await", "--json")
    assert launched.returncode == 0, launched.stderr
    ended = json.loads(launched.stdout)
    assert (ended["state"], ended["result"]) == ("DONE", "heard []")
    assert [entry.status for entry in local.inbox()] == ["DONE"]

    told = status(local)
    assert told["state"] == "running"
    assert told["server"]["address"] == address
    assert told["server"]["namespace"] == "default"
    fields = {place for place in json_fields.FIELDS["engine status"] if place.startswith(".server.")}
    assert {f".server.{name}" for name in told["server"]} == fields
    assert not processes.Place(local.settings.home.engine, "server").alive()
    assert check(local, "engine").level == check(local, "worker").level == "ok"
    return str(ended["run_id"])


def other(certificates: Certificates) -> Certificates:
    """Certificates of somebody else's authority."""
    return Certificates(certificates.authority.parent / "other")


def unusable(what: str, server: DevServer, front: Front, own: Certificates) -> tuple[str, str]:
    """A config that leads nowhere, and what is said of it."""
    head = f'[temporal]\naddress = "{front.address}"\n'
    key = f'api_key = "{KEY}"\n[temporal.tls]\n'
    found = {
        "closed": (
            f'[temporal]\naddress = "127.0.0.1:{free_port()}"\n',
            "does not answer: nothing accepts connections",
        ),
        "unknown": ('[temporal]\naddress = "no-such-host.invalid:7233"\n', "has a name that is not known"),
        "namespace": (f'{in_the_clear(server)}namespace = "mine"\n', "has no namespace 'mine': name one that it has"),
        "no TLS there": (f"{in_the_clear(server)}[temporal.tls]\n", "does not speak TLS there"),
        "no TLS here": (head, "ends the connection: it may want TLS"),
        "wrong key": (secured(front, own, 'api_key = "wrong"'), "does not let in the API key: the key is not known"),
        "no key": (secured(front, own, ""), "does not let in anybody without an API key"),
        "no certificate": (
            f"{head}{key}{tls(own, client_cert_path=None, client_key_path=None)}",
            "ends the connection: it may want TLS, or another client certificate",
        ),
        "other certificate": (
            f"{head}{key}{tls(own, client_cert_path=other(own).client, client_key_path=other(own).client_key)}",
            "another client certificate",
        ),
        "other authority": (
            f"{head}{key}{tls(own, server_ca_cert_path=other(own).authority)}",
            "shows a certificate that is not trusted",
        ),
        "other client key": (f"{head}{key}{tls(own, client_key_path=own.server_key)}", "is not the private key of its"),
        "no file": (f"{head}{key}{tls(own, client_cert_path=Path('/nowhere.pem'))}", "'/nowhere.pem', cannot be read"),
        "no PEM": (f"{head}{key}{tls(own, server_ca_cert_path=own.client_key)}", "is no certificate in PEM form"),
        "no profile": ('[temporal]\nprofile = "none"\nconfig_file = "config.toml"\n', "there is no profile 'none' in"),
        "no variable": (f'{head}api_key_env = "NOT_THERE"\n', "environment variable NOT_THERE, which is not set"),
    }
    return found[what]


UNUSABLE = (
    "closed",
    "unknown",
    "namespace",
    "no TLS there",
    "no TLS here",
    "wrong key",
    "no key",
    "no certificate",
    "other certificate",
    "other authority",
    "other client key",
    "no file",
    "no PEM",
    "no profile",
    "no variable",
)


def test_a_server_that_cannot_be_used_is_one_sentence_and_nothing_is_started(
    server: DevServer, front: Front, certificates: Certificates
) -> None:
    """Whatever is wrong, at launch and by doctor, and no secret is in what is said."""
    with LocalSagaflow(skills=[SKILLS]) as local:
        for what in UNUSABLE:
            config, said = unusable(what, server, front, certificates)
            write(local, config)
            settings = Settings.load(local.environment())
            with pytest.raises(SagaflowError) as refused:
                anyio.run(launch.launch, settings, launch.Request("lanes"))
            assert said in str(refused.value), what
            assert KEY not in str(refused.value)
            found = check(local, "temporal")
            assert found.level == "fail"
            assert said in found.finding
            assert is_untouched(local), what


@pytest.mark.parametrize("words", [("launch", "endings", "--how", "return", "--await"), ("worker", "run")])
def test_the_command_says_one_sentence_with_exit_status_1(words: tuple[str, ...]) -> None:
    """Within the time that a command has, and with nothing left running."""
    with sagaflow(f'[temporal]\naddress = "127.0.0.1:{free_port()}"\n') as local:
        ended = as_process(local, *words)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.count("\n") == 1
        assert "does not answer" in ended.stderr
        assert is_untouched(local)


def test_two_homes_on_one_server_leave_each_others_runs_alone(server: DevServer) -> None:
    """An id that one of them has given is refused to the other, open or closed; each has its own endings."""
    with sagaflow(in_the_clear(server)) as one, sagaflow(in_the_clear(server)) as two:
        one.model.add(Rule(match="Be patient", reply="patience", hold="on"))
        one.launch("patient", run_id="same", how="ask")
        with pytest.raises(Refusal, match="run id 'same' is taken on this Temporal server by the Sagaflow home "):
            two.launch("one-function", run_id="same", what="report")
        own = two.launch("one-function", what="report")
        assert two.wait(own).state == "DONE"
        # Nor does a worker that starts anew take the steps of the other home for those of a dead one of its own.
        os.kill(two.pid("worker"), signal.SIGKILL)
        again = two.launch("one-function", what="report")
        assert two.wait(again).state == "DONE"
        one.model.wait_for_requests(1, seconds=LIMIT)
        one.model.release("on")
        assert one.wait("same").result == "patience"
        assert len(one.model.requests) == 1
        with pytest.raises(Refusal, match="'same' is taken"):
            two.launch("one-function", run_id="same", what="report")
        assert [entry.run_id for entry in one.inbox()] == ["same"]
        assert sorted(entry.run_id for entry in two.inbox()) == sorted([own, again])
        assert doctor.examine(one.environment(), faces.CLI)
        for local in (one, two):
            assert not [each for each in doctor.examine(local.environment(), faces.CLI) if "foreign" in each.name]


def test_a_server_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    """Also by a worker that starts meanwhile; a launch is told at once, and open runs end when it is back."""
    with DevServer(tmp_path) as server, sagaflow(in_the_clear(server)) as local:
        local.model.add(Rule(match="Be patient", reply="patience", hold="on"))
        run_id = local.launch("patient", how="ask")
        local.model.wait_for_requests(1, seconds=LIMIT)
        server.stop()
        os.kill(local.pid("worker"), signal.SIGKILL)
        waiting = eventually(lambda: found if (found := status(local)).get("state") == "waiting" else None, "waiting")
        assert "does not answer" in waiting["reason"]
        assert check(local, "temporal").level == "fail"
        assert check(local, "engine").level == "warn"
        with pytest.raises(Failure, match="does not answer"):
            local.launch("endings", how="return")
        assert markers.run_ids(local.settings.home) == {run_id}
        server.start()
        local.model.wait_for_requests(2, seconds=LIMIT)
        local.model.release("on")
        assert local.wait(run_id).result == "patience"
        assert [entry.status for entry in local.inbox()] == ["DONE"]


def test_everything_works_behind_certificates_and_a_key_which_can_be_replaced_while_runs_are_open(
    server: DevServer, certificates: Certificates
) -> None:
    """The engine says why nothing moves, and the runs go on once the new key is in the file."""
    with Front(server.address, certificates, KEY) as front, sagaflow(secured(front, certificates)) as local:
        works(local, front.address)
        run_id = local.launch("endings", how="wait")
        front.change_key("another")
        refused = "does not let in the API key: the key is not known"
        eventually(lambda: refused in status(local)["reason"], refused)
        write(local, secured(front, certificates, 'api_key = "another"'))
        eventually(lambda: (found := status(local)).get("state") == "running" and not found["reason"], "running")
        own = connection.own(Settings.load(local.environment()))
        assert own is not None

        async def end() -> None:
            """Let the run end."""
            client = await temporal.connect(local.settings.home, own)
            await client.get_workflow_handle(run_id).signal("say", "enough")

        anyio.run(end)
        assert local.wait(run_id).result == "heard ['enough']"
        assert [entry.status for entry in local.inbox(run_id)] == ["DONE"]


def test_everything_works_with_a_server_of_ones_own_and_then_with_another(server: DevServer) -> None:
    """Nothing of theirs is changed.

    The other one is used once the engine is not needed on the first: until then a launch says why not. A run that was
    left on the first goes on when that is named again.
    """
    with sagaflow(in_the_clear(server)) as local:
        ended = works(local, server.address)
        listed = temporal_command(server.address, "workflow", "list", "--query", f"WorkflowId = '{ended}'")
        assert ended in listed.stdout
        about = json.loads(
            temporal_command(server.address, "operator", "namespace", "describe", "-n", "default", "-o", "json").stdout
        )
        assert about["config"]["workflowExecutionRetentionTtl"] == "86400s"

        local.model.add(Rule(match="Be patient", reply="patience", hold="on"))
        run_id = local.launch("patient", how="ask")
        write(local, "")
        local.settings = Settings.load(local.environment())
        with pytest.raises(Failure, match="has 1 open run on the Temporal server that it was started with"):
            local.launch("endings", how="return")
        local.model.wait_for_requests(1, seconds=LIMIT)

        engine_client.stop(local.settings.home)
        # An address in the environment alone is not used: whoever sets it for a project would get all prompts.
        environment = {**local.environment(), "TEMPORAL_ADDRESS": server.address, "TEMPORAL_NAMESPACE": "default"}
        local.settings = Settings.load(environment)
        here = local.launch("endings", how="return")
        assert local.wait(here).state == "DONE"
        listed = temporal_command(server.address, "workflow", "list")
        assert run_id in listed.stdout
        assert here not in listed.stdout
        assert status(local)["temporal"] == "embedded"
        assert processes.Place(local.settings.home.engine, "server").alive()
        warned = check(local, "runs")
        assert run_id in warned.finding
        assert server.address in warned.finding

        write(local, in_the_clear(server))
        local.settings = Settings.load(local.environment())
        assert local.wait(local.launch("endings", how="return")).state == "DONE"
        assert not processes.Place(local.settings.home.engine, "server").alive()
        local.model.wait_for_requests(2, seconds=LIMIT)
        local.model.release("on")
        assert local.wait(run_id).state == "DONE"
        assert len(local.inbox()) == 4
        engine_client.stop(local.settings.home)
        assert not processes.Place(local.settings.home.engine, "worker").alive()


def test_a_run_on_another_server_is_not_taken_for_one_that_never_started(server: DevServer) -> None:
    """It goes on when that server is named again; only a run of this server that is not there never started."""
    with sagaflow(in_the_clear(server)) as local:
        home = local.settings.home
        own = connection.own(local.settings)
        assert own is not None
        old = records.moment(time.time() - 2 * NEVER_STARTED_AFTER.total_seconds())

        async def overdue(name: str) -> bool:
            """Whether a run that was started on the server of that name never started."""
            run_id = f"run-{len(name)}"
            marker = records.OpenRun(run_id, "endings", "0" * 64, "", old, "")
            artifacts.write_json(prepared(home.run(run_id)) / "run.json", {"temporal": name})
            client = await temporal.connect(home, own)
            looked = OpenRuns(client, home, keys.KeyRing.of(home).home_id, own.label)
            found = await looked.overdue(marker, datetime.now(UTC))
            return found is not None and found.never_started

        assert anyio.run(overdue, own.label)
        assert not anyio.run(overdue, "elsewhere:7233 default")
