"""An engine whose environment is removed under it: Claude Code does that when the plugin is uninstalled."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from sagaflow_mcp import doctor, faces, markers, processes, waking
from sagaflow_mcp.environments import Environment
from sagaflow_mcp.testing import Error, LocalSagaflow, Rule
from tests.integration.launched import LIMIT
from tests.process_table import is_gone
from tests.waiting import eventually

RUN_ID = "greeting"


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """One that looks as if the plugin's builder had made it; its packages are those of these tests."""
    found = Environment(str(tmp_path), "0.1.0-00000000")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", found.path], check=True)
    packages = tmp_path / found.stamp / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    line = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    packages.joinpath("packages.pth").write_text(line, encoding="utf-8")
    for path in (found.lock, found.marker):
        Path(path).touch()
    return found


def launched(local: LocalSagaflow, environment: Environment) -> dict[str, int]:
    """The processes of the engine that a launch from `environment` has started, by name, once the model was asked."""
    command = [environment.python, "-m", "sagaflow_mcp", "launch", "hello-world", "--name", "alice", "--id", RUN_ID]
    environ = {**local.environment(), "PATH": f"{sysconfig.get_path('scripts')}:/usr/bin:/bin"}
    subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, timeout=LIMIT, check=True)
    local.model.wait_for_requests(1, seconds=LIMIT)
    return {name: local.pid(name) for name in ("engine", "server", "worker")}


def test_open_runs_wait_until_it_is_installed_again(environment: Environment) -> None:
    """Nothing goes on running without its files, and what fails meanwhile for the lack of them fails no run."""
    reply = "STRUCTURED_OUTPUT_START\nGREETING|hello, alice\nSTRUCTURED_OUTPUT_END"
    refusal = Error(status=400, type="invalid_request_error", message="no")
    with LocalSagaflow() as local:
        local.model.add(
            Rule(match="Please greet alice", error=refusal, hold="uninstalled", times=1),
            Rule(match="Please greet alice", reply=reply),
        )
        home = local.settings.home
        pids = launched(local, environment)
        (told,) = [check for check in doctor.examine(local.environment(), faces.MCP) if check.name == "engine"]
        assert "uninstalling it holds them up until it is installed again" in told.cure
        shutil.rmtree(environment.path)
        local.model.release("uninstalled")
        eventually(lambda: all(is_gone(pid) for pid in pids.values()), seconds=LIMIT)
        assert markers.exists(home, RUN_ID)
        assert local.inbox() == []
        assert "by uninstalling the plugin" in Path(processes.Place(home.engine, "engine").log).read_text(
            encoding="utf-8"
        )
        assert waking.wake_open_runs(home, local.environment()) is None
        assert local.wait(RUN_ID).result == "hello, alice"
        assert [entry.status for entry in local.inbox()] == ["DONE"]
