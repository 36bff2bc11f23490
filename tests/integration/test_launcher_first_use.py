"""The first use of the plugin: an environment is built while the first call waits, with a stand-in for uv."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import environments, markers, records
from sagaflow_mcp.paths import Home
from tests.integration.launched import LEGACY, LIMIT, MODERN, ROOT, Launched, small_server
from tests.process_table import is_gone, kill
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagaflow_mcp.environments import Environment

BUILDER = [
    *(sys.executable, "-I", "-S", "-B", "-c"),
    "import sys; sys.path.append(sys.argv[1]); from sagaflow_mcp import builder; sys.exit(builder.main())",
]


class Machine:
    """A user's machine with the stand-in for uv, and the plugin's data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        commands = folder / ".local" / "bin"
        commands.mkdir(parents=True)
        shutil.copy(Path(__file__).parent / "stand_in_uv.sh", commands / "uv")
        os.mkfifo(folder / "gate")
        self.environ = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "CLAUDE_PLUGIN_DATA": str(folder / "data"),
            "SAGAFLOW_HOME": str(folder / "home"),
            # What the builder tries when uv fails: nobody listens there.
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
            "STAND_IN": str(folder),
            "STAND_IN_SERVER": small_server(folder),
        }
        self.environment = environments.of_plugin(str(ROOT), self.environ)

    def hold(self) -> None:
        """Let installations wait."""
        self.folder.joinpath("hold").touch()

    def wait_for_hold(self) -> int:
        """The pid of the installation that waits."""
        path = self.folder / "pid"
        eventually(lambda: path.exists() and path.read_text(encoding="utf-8").endswith("\n"), seconds=LIMIT)
        pid = int(path.read_text(encoding="utf-8"))
        path.unlink()
        return pid

    def release(self) -> None:
        """Let installations go on."""
        self.folder.joinpath("hold").unlink()
        descriptor = os.open(self.folder / "gate", os.O_RDWR)
        os.write(descriptor, b"\n" * 10)
        eventually(lambda: not self.environment.is_locked(), seconds=LIMIT)
        os.close(descriptor)

    def fail(self, said: str) -> None:
        """Let installations fail."""
        self.folder.joinpath("fail").write_text(said, encoding="utf-8")

    @property
    def made(self) -> int:
        """How many environments were begun."""
        path = self.folder / "calls"
        return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0

    def build(self, environment: Environment) -> int:
        """The exit status of a builder for `environment`."""
        command = [*BUILDER, str(ROOT), environment.stamp, str(self.folder)]
        return subprocess.run(command, env=self.environ, timeout=LIMIT, check=False).returncode


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine on which the plugin has never been used."""
    return Machine(tmp_path)


@pytest.mark.parametrize("version", [MODERN, LEGACY])
def test_what_the_first_use_builds_is_there_as_long_as_a_session_uses_it(machine: Machine, version: str) -> None:
    """The next session uses it, and each holds it meanwhile; what nobody uses is removed."""
    newer = machine.environment._replace(stamp="9.9.9-00000000")
    the_first_call_waits_for_the_build_and_hears_of_it(machine, version, newer)
    the_next_session_uses_and_holds_it(machine, version, newer)
    assert machine.build(newer) == 0
    assert not machine.environment.is_whole()


def the_first_call_waits_for_the_build_and_hears_of_it(machine: Machine, version: str, newer: Environment) -> None:
    """It began with the launcher, not with the call."""
    machine.hold()
    with Launched(version, machine.environ) as launched:
        launched.begin()
        machine.wait_for_hold()
        launched.call(1, "echo", meta={"progressToken": "token"}, text="one")
        launched.call(2, "echo", text="two")
        told = [launched.next(method="notifications/progress")["params"] for _ in range(2)]
        assert {each["progressToken"] for each in told} == {"token"}
        assert told[0]["progress"] < told[1]["progress"]
        assert told[0]["message"].startswith("first use: installing the packages that Sagaflow needs (")
        machine.release()
        assert (launched.said(1), launched.said(2)) == ("one", "two")
        assert machine.made == 1
        assert machine.build(newer) == 0
        assert machine.environment.is_whole()


def the_next_session_uses_and_holds_it(machine: Machine, version: str, newer: Environment) -> None:
    """It has the other one removed, which nobody uses."""
    with Launched(version, machine.environ) as launched:
        launched.begin()
        launched.call(1, "echo", text="again")
        assert launched.said(1) == "again"
        assert machine.made == 2
        eventually(lambda: not Path(newer.path).exists(), seconds=LIMIT)
        # Launcher and server each hold it by themselves; afterwards it can be removed.
        assert machine.build(newer) == 0
        assert machine.environment.is_whole()
        assert launched.leave() == 0


@pytest.mark.parametrize("version", [MODERN, pytest.param(LEGACY, marks=pytest.mark.long)])
def test_a_build_that_fails_is_told_in_one_sentence_and_tried_again(machine: Machine, version: str) -> None:
    """With what to do and where to read more; the session stays usable."""
    machine.fail("error: Failed to fetch: `http://index/simple/`\n  Caused by: operation timed out\n")
    with Launched(version, machine.environ) as launched:
        launched.begin()
        launched.call(1, "echo", text="one")
        launched.ask(2, "resources/read", uri="small://two")
        failed = launched.result(1)
        assert failed["isError"]
        (content,) = failed["content"]
        assert "the package index does not answer; check the network" in content["text"]
        assert machine.environment.log in content["text"]
        assert launched.next(id=2)["error"]["message"] == content["text"]
        log = Path(machine.environment.log).read_text(encoding="utf-8")
        assert "operation timed out" in log
        assert "http://127.0.0.1:9/simple" in log or "Connection refused" in log
        assert not Path(machine.environment.path).exists()
        machine.folder.joinpath("fail").unlink()
        launched.call(3, "echo", text="three")
        assert launched.said(3) == "three"


def has_children(pid: int) -> bool:
    """Whether the process `pid` has any, be it one whose end it has not noticed."""
    listed = subprocess.run(["ps", "-ax", "-o", "ppid="], capture_output=True, encoding="utf-8", check=True)
    return str(pid) in listed.stdout.split()


def test_a_build_that_failed_while_nobody_waited_is_tried_again_at_once(machine: Machine) -> None:
    """The first call is not told of an hour-old failure."""
    # A file where the plugin is copied to: where uv fails, pip is tried, which takes long.
    in_the_way = Path(f"{machine.environment.path}.source")
    in_the_way.parent.mkdir(mode=0o700, parents=True)
    in_the_way.touch()
    with Launched(MODERN, machine.environ) as launched:
        launched.begin()
        eventually(lambda: machine.environment.state().get("state") == "failed", seconds=LIMIT)
        eventually(lambda: not has_children(launched.process.pid), seconds=LIMIT)
        in_the_way.unlink()
        launched.call(1, "echo", text="one")
        assert launched.said(1) == "one"


def test_a_build_outlives_the_session_that_began_it(machine: Machine) -> None:
    """Whatever kills that session; the next one waits for it instead of beginning another."""
    machine.hold()
    with Launched(MODERN, machine.environ) as first:
        first.begin()
        machine.wait_for_hold()
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(LIMIT)
    with Launched(MODERN, machine.environ) as second:
        second.begin()
        second.call(1, "echo", meta={"progressToken": 1}, text="one")
        second.next(method="notifications/progress")
        machine.release()
        assert second.said(1) == "one"
    assert machine.made == 1


def test_two_sessions_at_once_share_one_build(machine: Machine) -> None:
    """Both get their answers when it ends."""
    machine.hold()
    with Launched(MODERN, machine.environ) as first, Launched(LEGACY, machine.environ) as second:
        for launched in (first, second):
            launched.begin()
            launched.call(1, "echo", meta={"progressToken": 1}, text="one")
        machine.wait_for_hold()
        for launched in (first, second):
            launched.next(method="notifications/progress")
        machine.release()
        assert (first.said(1), second.said(1)) == ("one", "one")
    assert machine.made == 1


def builder_of(installation: int) -> int:
    """The parent of the process `installation`."""
    command = ["ps", "-o", "ppid=", "-p", str(installation)]
    return int(subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout)


def test_a_build_that_is_killed_is_begun_anew_from_nothing(machine: Machine) -> None:
    """The call that waits for it gets its answer; what the builder left running is over before the next one begins."""
    machine.hold()
    with Launched(MODERN, machine.environ) as launched:
        launched.begin()
        launched.call(1, "echo", text="one")
        installation = machine.wait_for_hold()
        Path(machine.environment.path, "half").touch()
        kill(builder_of(installation))
        assert machine.environment.is_locked()
        assert machine.made == 1
        machine.release()
        assert launched.said(1) == "one"
    assert is_gone(installation)
    assert machine.made == 2
    assert not Path(machine.environment.path, "half").exists()


def test_a_build_that_vanishes_again_and_again_is_given_up(machine: Machine) -> None:
    """With a sentence, and no loop."""
    machine.folder.joinpath(".local", "bin", "uv").write_text("#!/bin/sh\nkill -9 $PPID\n", encoding="utf-8")
    with Launched(MODERN, machine.environ) as launched:
        launched.begin()
        launched.call(1, "echo", text="one")
        assert "the installation was ended from outside" in launched.said(1)


def open_run(machine: Machine) -> None:
    """Leave a run open in the home of `machine`."""
    home = Home(machine.environ["SAGAFLOW_HOME"]).prepare()
    assert markers.claim(home, records.OpenRun("x-1", "x", "0" * 64, "", records.now(), ""))


def test_open_runs_are_woken_by_a_session_that_is_over_at_once(machine: Machine) -> None:
    """No server has started by then; where nothing is open, nothing is woken."""
    woken = machine.folder / "woken"
    assert machine.build(machine.environment) == 0
    woken.unlink()
    for is_open in (False, True):
        if is_open:
            open_run(machine)
        with Launched(MODERN, machine.environ) as launched:
            launched.begin()
            assert launched.leave() == 0
        if is_open:
            eventually(woken.exists, seconds=LIMIT)
        assert woken.exists() == is_open


def test_open_runs_are_woken_by_the_build_that_they_had_to_wait_for(machine: Machine) -> None:
    """As when the plugin is installed again; the session that began the build is over by then."""
    open_run(machine)
    machine.hold()
    with Launched(MODERN, machine.environ) as launched:
        launched.begin()
        machine.wait_for_hold()
        assert launched.leave() == 0
    assert not machine.folder.joinpath("woken").exists()
    machine.release()
    eventually(machine.folder.joinpath("woken").exists, seconds=LIMIT)


@pytest.fixture
def older(machine: Machine) -> Environment:
    """The environment of an earlier version."""
    found = machine.environment._replace(stamp="0.0.1-00000000")
    assert machine.build(found) == 0
    assert found.is_whole()
    return found


def test_an_earlier_version_is_removed_when_nobody_uses_it(machine: Machine, older: Environment) -> None:
    """With its log and state."""
    assert machine.build(machine.environment) == 0
    assert machine.environment.is_whole()
    names = [path.name for path in Path(older.folder).iterdir() if path.name.startswith(older.stamp)]
    assert names == [f"{older.stamp}.lock"]


def test_an_earlier_version_stays_while_it_is_used(machine: Machine, older: Environment) -> None:
    """And goes when the next session starts after that."""
    hold = older.hold()
    assert hold is not None
    assert machine.build(machine.environment) == 0
    assert older.is_whole()
    os.close(hold)
    with Launched(MODERN, machine.environ) as launched:
        launched.begin()
        eventually(lambda: not Path(older.path).exists(), seconds=LIMIT)
    assert machine.environment.is_whole()


def test_an_environment_without_its_interpreter_is_built_anew(machine: Machine) -> None:
    """As after an update of the system that took the Python away."""
    assert machine.build(machine.environment) == 0
    Path(machine.environment.python).unlink()
    assert machine.environment.hold() is None
    with Launched(MODERN, machine.environ) as launched:
        launched.begin()
        launched.call(1, "echo", text="one")
        assert launched.said(1) == "one"
    assert machine.made == 2


def test_a_data_folder_that_cannot_be_written_is_told_of(machine: Machine) -> None:
    """The handshake is not disturbed."""
    machine.folder.joinpath("data").touch()
    with Launched(MODERN, machine.environ) as launched:
        launched.begin()
        launched.call(1, "echo", text="one")
        assert "could not be installed for its first use: [Errno" in launched.said(1)
        assert launched.leave() == 0
        assert launched.complaints == []


def test_the_plugin_folder_is_not_written_to(machine: Machine, tmp_path: Path) -> None:
    """Neither by the launcher nor by the builder."""
    plugin = tmp_path / "in stalled"
    for name in (*environments.SOURCES, ".claude-plugin"):
        copy: Callable[[Path, Path], object] = shutil.copytree if ROOT.joinpath(name).is_dir() else shutil.copy
        plugin.mkdir(exist_ok=True)
        copy(ROOT / name, plugin / name)
    for cache in plugin.rglob("__pycache__"):
        shutil.rmtree(cache)
    before = sorted(plugin.rglob("*"))
    with Launched(MODERN, machine.environ, ("sh", str(plugin / "sagaflow_mcp" / "front.sh")), tmp_path) as launched:
        launched.begin()
        launched.call(1, "echo", text="one")
        assert launched.said(1) == "one"
    assert sorted(plugin.rglob("*")) == before
    state = json.loads(Path(machine.environment.state_file).read_text(encoding="utf-8"))
    assert state["state"] == "done"
