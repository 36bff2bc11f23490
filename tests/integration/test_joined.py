"""`sagaflow worker run --join`: workers of one home on two machines."""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

import anyio
import pytest
from temporalio.exceptions import ApplicationError

from sagaflow_mcp import artifacts, doctor, engine_client, faces, inbox, records, retrying
from sagaflow_mcp.durable import activities, context, notices
from sagaflow_mcp.errors import Failure
from sagaflow_mcp.paths import Home
from sagaflow_mcp.sealing import SealingCodec
from sagaflow_mcp.settings import Settings
from sagaflow_mcp.testing import Error, LocalSagaflow, Rule
from tests.integration import lent
from tests.integration.elsewhere import HERE, Elsewhere, another_host
from tests.integration.own_temporal import DevServer, Relay
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

SKILLS = Path(__file__).parent / "skills"
SHARED = ("runs", "blobs", "skills")
LIMIT = 60


class Joined:
    """A worker that joins with a home made from that of `local`. Leaving the context kills it.

    Args:
        local: the Sagaflow that launches.
        folder: where the home lies, under another path than the first one's.
        where: the machine that it runs on.
        model: the port of the model there.
        shared: what the two homes share.
    """

    def __init__(
        self, local: LocalSagaflow, folder: Path, where: Elsewhere, model: str, shared: tuple[str, ...] = SHARED
    ) -> None:
        first = Path(local.settings.home.root)
        self.home = Home(str(folder / "joined"))
        Path(self.home.root).mkdir(mode=0o700, parents=True)
        for name in ("key", "config.toml"):
            shutil.copy(first / name, self.home.root)
        for name in shared:
            Path(self.home.root, name).symlink_to(first / name)
        self.environment = {
            **local.environment(),
            "SAGAFLOW_HOME": self.home.root,
            "ANTHROPIC_BASE_URL": f"http://{model}",
        }
        self.process = subprocess.Popen(
            [*where.inside, sys.executable, "-m", "sagaflow_mcp", "worker", "run", "--join"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(LIMIT)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def says(self, words: str) -> str:
        """The next line with `words`."""
        while words not in (line := self._lines.get(timeout=LIMIT)):
            pass
        return line


@pytest.fixture(params=[pytest.param("processes", marks=pytest.mark.long), "hosts"])
def where(request: pytest.FixtureRequest) -> Iterator[Elsewhere]:
    """Where the second worker runs; without the right to make a host it is the first one's machine in both cases."""
    with another_host() if request.param == "hosts" else contextlib.nullcontext(HERE) as found:
        yield found


@contextlib.contextmanager
def launching(server: str) -> Iterator[LocalSagaflow]:
    """The Sagaflow that launches, each of whose workers makes one model call at a time."""
    local = LocalSagaflow(skills=[SKILLS])
    home = local.folder / "home"
    home.mkdir(mode=0o700)
    config = f'[temporal]\naddress = "{server}"\n[models]\nconcurrent_calls = 1\n'
    home.joinpath("config.toml").write_text(config, encoding="utf-8")
    with local:
        yield local


def test_workers_on_two_machines(where: Elsewhere, tmp_path: Path) -> None:
    """They share the work, either can be killed, and the other machine does it alone if it has the folders."""
    with (
        DevServer(tmp_path) as behind,
        Relay(behind.address, where.host) as server,
        launching(server.address) as local,
        Relay(f"127.0.0.1:{local.model.port}", where.host) as model,
    ):
        either_can_be_killed(local, tmp_path / "one of two", where, server.address, model.address)
        one_does_it_alone(local, tmp_path, where, model.address)


def either_can_be_killed(local: LocalSagaflow, folder: Path, where: Elsewhere, server: str, model: str) -> None:
    """No step of the living one is done twice for that, and each run ends with one entry."""
    local.model.replace(Rule(match="Be patient", reply="patience", hold="on"))
    runs = [local.launch("patient", how="ask") for _ in range(2)]
    local.model.wait_for_requests(1, seconds=LIMIT)
    with Joined(local, folder, where, model) as joined:
        assert server in joined.says("this machine has joined home ")
        # The first worker makes one call and no other: the second call is made elsewhere.
        local.model.wait_for_requests(2, seconds=LIMIT)
        os.kill(local.pid("worker"), signal.SIGKILL)
        local.model.wait_for_requests(3, seconds=LIMIT)
        assert len(local.model.requests) == 3
        joined.process.kill()
        joined.process.wait()
    local.model.release("on")
    assert [local.wait(run_id).result for run_id in runs] == ["patience", "patience"]
    assert sorted(entry.run_id for entry in local.inbox()) == sorted(runs)
    assert {entry.status for entry in local.inbox()} == {"DONE"}
    # One call for each run, and one for each kill.
    assert len(local.model.requests) == 4
    assert not inbox.entries(joined.home)


def one_does_it_alone(local: LocalSagaflow, folder: Path, where: Elsewhere, model: str) -> None:
    """Without the folders it says so and ends. ^C leaves, and a home that joins has no engine of its own.

    The run is one that is being retried, and so has an ending.
    """
    bad_key = Error(status=401, type="authentication_error", message="invalid x-api-key")
    local.model.replace(
        Rule(match="Be patient", error=bad_key, times=1), Rule(match="Be patient", reply="patience", hold="alone")
    )
    run_id = local.launch("patient", how="ask")
    assert local.wait(run_id).state == "FAILED"
    before = len(local.model.requests)
    anyio.run(lambda: retrying.retry(local.settings, run_id, face=faces.CLI))
    local.model.wait_for_requests(before + 1, seconds=LIMIT)
    with Joined(local, folder / "apart", where, model, shared=()) as apart:
        assert f"run {run_id!r} is open, but its folder is not in" in apart.says("sagaflow: ")
        assert apart.process.wait(LIMIT) == 1
    with Joined(local, folder / "alone", where, model) as joined:
        joined.says("this machine has joined")
        engine_client.stop(local.settings.home)
        local.model.wait_for_requests(before + 2, seconds=LIMIT)
        local.model.release("alone")
        transcript = Path(local.settings.home.run(run_id), "transcript.jsonl")
        eventually(lambda: '"step_finished"' in transcript.read_text("utf-8"), "the step")
        with pytest.raises(Failure, match="only joins the work of another machine's"):
            engine_client.ensure(joined.home)
        (told,) = [each for each in doctor.examine(joined.environment, faces.CLI) if each.name == "worker"]
        assert told.finding.endswith(f"pid {joined.process.pid}")
        joined.process.send_signal(signal.SIGINT)
        assert joined.process.wait(LIMIT) == 130
        joined.says("this machine has left")
    assert local.wait(run_id).result == "patience"
    assert [entry.status for entry in local.inbox(run_id)] == ["DONE", "FAILED"]
    assert len(local.model.requests) == before + 2


@pytest.mark.parametrize(
    ("config", "key", "engine", "said"),
    [
        ("", True, False, "--join needs a Temporal server that both machines reach"),
        ('[temporal]\naddress = "127.0.0.1:9"\n', False, False, "key' is missing; copy it from the home"),
        ('[temporal]\naddress = "127.0.0.1:9"\n', True, True, "has an engine of its own"),
        ('[temporal]\naddress = "127.0.0.1:9"\n', True, False, "does not answer: nothing accepts connections there"),
    ],
)
def test_what_keeps_a_machine_from_joining_is_one_sentence(
    home: Home, config: str, key: bool, engine: bool, said: str
) -> None:
    """With exit status 1, at once."""
    Path(home.config).write_text(config, encoding="utf-8")
    if key:
        Path(home.key).write_text('{"home_id": "aa", "keys": {"k1": "' + "A" * 43 + '="}}', encoding="utf-8")
    if engine:
        Path(home.engine, "reconciler.json").write_text("{}", encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "sagaflow_mcp", "worker", "run", "--join"],
        env={**os.environ, "SAGAFLOW_HOME": home.root},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=LIMIT,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("sagaflow: ")
    assert ended.stderr.count("\n") == 1
    assert said in ended.stderr


def test_what_a_joined_worker_has_to_tell_is_delivered_by_the_machine_that_launches(home: Home, tmp_path: Path) -> None:
    """Once, from the run's folder, in which nothing is left of it."""
    joined = Home(str(tmp_path / "joined")).prepare()
    Path(joined.runs).rmdir()
    Path(joined.runs).symlink_to(home.runs)
    Path(home.run("run-1")).mkdir()
    teller = lent.services(joined, joined=True)
    entry = records.Entry("run-1~aa", "run-1", "patient", "NOTE", "half way", records.now())
    for _ in range(2):
        notices.tell(teller, entry, show=False)
    assert not inbox.entries(joined)
    for _ in range(2):
        notices.collect(Settings(home, notify=False), "run-1")
    assert [found.summary for found, _ in inbox.entries(home)] == ["half way"]
    notices.tell(teller, entry, show=False)
    notices.collect(Settings(home, notify=False), "run-1")
    assert len(inbox.entries(home)) == 1
    assert not list(Path(home.run("run-1")).rglob("*.json"))


def test_a_path_in_the_runs_folder_is_the_same_for_each_machine(home: Home, tmp_path: Path) -> None:
    """It is what the machine that launched calls it, so that a step repeated elsewhere is the same step."""
    there = ["/elsewhere/link/run-1", "/elsewhere/real/run-1"]
    Path(home.run("run-1")).mkdir()
    artifacts.write_json(Path(home.run("run-1"), "run.json"), {"folders": there})
    step = context.StepContext(lent.services(home, joined=True), "run-1", "patient", "", "key", SealingCodec({}))
    for path in ("prompt.txt", f"{there[0]}/prompt.txt", f"{there[1]}/prompt.txt"):
        assert written(step, path) == f"{there[1]}/prompt.txt"
        assert Path(home.run("run-1"), "prompt.txt").read_text(encoding="utf-8") == path
        assert artifacts.read(Path(step.run_dir), step.path_here(path)) == path
    for path in (f"{there[1]}/../other/x", str(tmp_path / "x")):
        with pytest.raises(ApplicationError, match="lies outside"):
            written(step, path)
    here = context.StepContext(lent.services(home, joined=False), "run-1", "patient", "", "key", SealingCodec({}))
    assert written(here, "prompt.txt") == str(Path(home.run("run-1")).resolve() / "prompt.txt")


def written(step: context.StepContext, path: str) -> str:
    """What a skill gets back that writes to `path`, with that as the content."""

    async def write() -> str:
        """Take the step."""
        context.enter(step)
        return await activities.write_artifact(activities.WriteArtifactInput(path, path))

    return anyio.run(write)
