"""The engine as a service of the system."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sagaflow_mcp import engine_client, faces, processes, system_service
from sagaflow_mcp.doctor import examine
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.settings import Settings
from sagaflow_mcp.testing import LocalSagaflow, Rule
from tests.integration.user_systemd import UserSystemd
from tests.phases import SKILLS
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

STAND_IN = """#!/bin/sh
echo "$@" >>"$HOME/asked"
case "$*" in *is-active*) exit 3 ;; *enable*) test ! -e "$HOME/fails" ;; esac
"""
"""A `systemctl` that notes what it is asked, and runs nothing."""


@pytest.fixture
def noted(tmp_path: Path) -> Settings:
    """The settings of a user whose systemctl only notes what it is asked."""
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(STAND_IN, encoding="utf-8")
    program.chmod(0o700)
    return Settings.load({"HOME": str(tmp_path), "PATH": f"{program.parent}:/usr/bin:/bin"})


def asked(settings: Settings) -> list[str]:
    """What its systemctl was asked to do."""
    path = Path(settings.environ["HOME"], "asked")
    lines = path.read_text(encoding="utf-8").splitlines()
    path.unlink()
    return [
        line.removeprefix("--user ") for line in lines if "show-environment" not in line and "is-active" not in line
    ]


linux = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")


@linux
def test_installing_twice_writes_once_and_uninstalling_leaves_nothing(noted: Settings) -> None:
    """The second time nothing is started again."""
    system_service.install(noted)
    unit = Path(noted.environ["HOME"], ".config", "systemd", "user", "sagaflow.service")
    written = unit.stat().st_mtime_ns
    assert asked(noted) == ["daemon-reload", "enable sagaflow.service", "restart sagaflow.service"]
    assert system_service.standing(noted).current
    system_service.install(noted)
    assert unit.stat().st_mtime_ns == written
    assert asked(noted) == ["daemon-reload", "enable sagaflow.service", "start sagaflow.service"]
    assert system_service.uninstall(noted) == [f"{unit} is removed, and the engine that it ran has stopped"]
    assert asked(noted) == ["disable --now sagaflow.service", "daemon-reload"]
    assert list(unit.parent.iterdir()) == []
    assert system_service.uninstall(noted) == [f"nothing to do: there is no {unit}"]


@linux
def test_the_unit_lies_where_the_user_has_such_files(tmp_path: Path, noted: Settings) -> None:
    """A relative folder does not count, as the specification says."""
    for chosen, base in ((str(tmp_path / "own"), tmp_path / "own"), ("own", tmp_path / ".config")):
        settings = Settings.load({**noted.environ, "XDG_CONFIG_HOME": chosen})
        assert system_service.standing(settings).file == str(base / "systemd" / "user" / "sagaflow.service")


@linux
def test_what_keeps_a_service_from_running_is_told(tmp_path: Path, noted: Settings) -> None:
    """Without systemd, or without an instance of the user's, nothing is written."""
    bare = Settings.load({**noted.environ, "PATH": str(tmp_path / "nothing")})
    with pytest.raises(Refusal, match="neither systemd nor launchd"):
        system_service.install(bare)
    alone = tmp_path / "bin" / "systemctl"
    alone.write_text("#!/bin/sh\necho 'no bus' >&2; exit 1\n", encoding="utf-8")
    with pytest.raises(Refusal, match=r"no instance for your user here \(no bus\)"):
        system_service.install(noted)
    assert not system_service.standing(noted).installed


@linux
def test_doctor_says_when_the_interpreter_is_gone(noted: Settings) -> None:
    """As after an upgrade into another environment."""
    system_service.install(noted)
    path = Path(system_service.standing(noted).file)
    text = path.read_text(encoding="utf-8")
    for python, level, finding in (
        (sys.executable, "ok", "runs the engine"),
        ("/usr/bin/env", "warn", "another installation"),
        ("/gone/python", "fail", "/gone/python, which is gone"),
    ):
        path.write_text(text.replace(sys.executable, python), encoding="utf-8")
        (check,) = [each for each in examine(noted.environ, faces.CLI) if each.name == "service"]
        assert check.level == level
        assert finding in check.finding
        assert bool(check.cure) == (level != "ok")


@pytest.fixture
def front() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Where what a test starts as the system would is put, to be ended."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def uninstalled_without_a_bus(local: LocalSagaflow) -> list[str]:
    """What is said where systemd no longer answers, of a service whose file is there."""
    program = local.folder / "bin" / "systemctl"
    program.parent.mkdir(exist_ok=True)
    program.write_text("#!/bin/sh\necho 'no bus' >&2; exit 1\n", encoding="utf-8")
    program.chmod(0o700)
    settings = Settings.load({**local.environment(), "PATH": str(program.parent)})
    unit = Path(system_service.standing(settings).file)
    unit.parent.mkdir(parents=True, exist_ok=True)
    unit.touch()
    said = system_service.uninstall(settings)
    assert not unit.exists()
    return said


def test_the_service_waits_for_the_engine_that_is_up_and_then_stays(
    front: list[subprocess.Popen[bytes]],
) -> None:
    """It is not ended under the runs that it holds the keys of; the service's own engine stays up without a run.

    Also where its file goes while systemd does not answer, which is told.
    """
    with LocalSagaflow(skills=[SKILLS]) as local:
        home = local.settings.home
        local.launch("endings", how="wait")
        command = [sys.executable, "-m", "sagaflow_mcp.engine_service", home.root]
        environ = {**local.environment(), "SAGAFLOW_IDLE_SECONDS": "0.05"}
        front.append(subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL))
        before = local.pid("engine")
        assert before != front[0].pid
        engine_client.stop(home)
        eventually(lambda: (engine_client.status(home) or {}).get("pid") == front[0].pid, "the service took over")
        (run,) = Path(home.open_runs).iterdir()
        eventually(lambda: engine_client.worker_ready(home), "the worker works")
        if sys.platform == "linux":
            assert "is still up (`systemctl --user disable --now" in "".join(uninstalled_without_a_bus(local))
        engine_client.stop(home)
        assert front[0].wait(30) == 0
        assert run.exists()
        if sys.platform == "linux":
            (_, unknown, waits) = uninstalled_without_a_bus(local)
            assert unknown.startswith("that the service has ended was not confirmed (`systemctl --user disable --now")
            assert waits == "1 open run waits for the next session or command"


def running(settings: Settings) -> dict[str, Any]:
    """The status of the engine once its worker takes work."""
    eventually(lambda: engine_client.worker_ready(settings.home), "the worker works")
    return engine_client.status(settings.home) or {}


def sagaflow(systemd: UserSystemd, *words: str) -> Any:
    """What a command prints as JSON."""
    done = systemd.run(sys.executable, "-m", "sagaflow_mcp", *words, "--json")
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_a_real_systemd_runs_the_engine_and_brings_it_back() -> None:
    """Installed, killed with SIGKILL, stopped, uninstalled: the engine is systemd's, and in the end none is left."""
    with LocalSagaflow() as local, UserSystemd(local.folder) as systemd:
        systemd_home = local.folder / ".sagaflow"
        assert sagaflow(systemd, "service", "install")["active"]
        settings = Settings.load({**systemd.environment})
        assert settings.home.root == str(systemd_home)
        status = running(settings)
        assert str(status["pid"]) == systemd.systemctl("show", "-P", "MainPID", "sagaflow").stdout.strip()
        children = [status[part]["pid"] for part in ("server", "worker")]

        os.kill(status["pid"], signal.SIGKILL)
        eventually(lambda: (engine_client.status(settings.home) or status)["pid"] != status["pid"], "it is back")
        found = running(settings)
        # Its children were not ended with it: they hold what open runs were launched with.
        assert [found[part]["pid"] for part in ("server", "worker")] == children
        eventually(lambda: sagaflow(systemd, "service", "status")["active"], "systemd has it")

        local.model.add(Rule(reply="STRUCTURED_OUTPUT_START\nGREETING|hello\nSTRUCTURED_OUTPUT_END"))
        launch = (sys.executable, "-m", "sagaflow_mcp", "launch", "hello-world", "--name", "alice", "--await")
        launched = systemd.run(*launch, **local.model.environment())
        assert launched.stdout.splitlines()[-1] == "hello", launched.stderr

        assert not sagaflow(systemd, "service", "uninstall")["installed"]
        assert not processes.Place(settings.home.engine, "engine").alive()
        assert not list((local.folder / ".config" / "systemd").rglob("*sagaflow*"))
        assert not sagaflow(systemd, "service", "status")["active"]
