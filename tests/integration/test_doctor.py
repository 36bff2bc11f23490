"""What `doctor` says of planted troubles, each of another kind, and of a home in which all is well."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from sagaflow_mcp import doctor, engine_client, faces, inbox, markers, records, refused, runs, session_hook, steering
from sagaflow_mcp.health import processes as process_checks
from sagaflow_mcp.health import runs as run_checks
from sagaflow_mcp.paths import Home
from sagaflow_mcp.testing import Error, LocalSagaflow, OfflineMessagesApi, Rule
from tests import waiting
from tests.integration.clients import as_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagaflow_mcp.health import Check


@pytest.fixture(scope="module")
def local() -> Iterator[LocalSagaflow]:
    """A Sagaflow whose engine is up, since a run has been launched."""
    with LocalSagaflow(skills=[Path(__file__).parent / "skills"]) as started:
        started.model.add(Rule(match="Lane 0, step 1", error=Error(status=529)), Rule(reply="ok"))
        started.wait(started.launch("endings", how="return"))
        inbox.dismiss(started.settings.home, None)
        yield started


def examined(local: LocalSagaflow, face: faces.Face = faces.CLI, **more: str) -> list[Check]:
    """What `doctor` finds where nobody has any Claude Code but that in `more`."""
    environ = {name: value for name, value in local.environment().items() if name != "CLAUDE_CONFIG_DIR"}
    return doctor.examine({**environ, "PATH": "/usr/bin:/bin", **more}, face)


def troubles(local: LocalSagaflow, face: faces.Face = faces.CLI, **more: str) -> dict[str, Check]:
    """What of it is a warning or worse, by name."""
    return {each.name: each for each in examined(local, face, **more) if each.level in {"warn", "fail"}}


def test_a_healthy_home_has_no_trouble(local: LocalSagaflow) -> None:
    """Nothing is invented; what is ok was shown to be, such as the key, which the provider was asked about."""
    assert troubles(local) == {}
    levels = {each.name: each.level for each in examined(local)}
    proven = ("home", "engine", "server", "worker", "model access", "inbox", "disk use", "clock")
    assert {name: levels[name] for name in proven} == dict.fromkeys(proven, "ok")


def test_other_peoples_write_permission_is_found_and_taken_away(local: LocalSagaflow) -> None:
    """Nothing else can be looked at before that is put right, which --fix does."""
    root = Path(local.settings.home.root)
    root.chmod(0o777)
    try:
        found = troubles(local)
        assert [*found] == ["home"]
        assert found["home"].finding.endswith(f"chmod 700 {root}")
        done = as_process(local, "doctor", "--fix")
        assert f"[info] fixed: {root} is yours alone now (mode 0700)" in done.stdout
        assert root.stat().st_mode & 0o777 == 0o700
    finally:
        root.chmod(0o700)


@pytest.mark.parametrize("face", [faces.CLI, faces.MCP], ids=["CLI", "MCP"])
def test_a_key_that_is_refused_is_told_before_a_run_fails(local: LocalSagaflow, face: faces.Face) -> None:
    """And so is a provider that does not answer, or that does not say."""
    with OfflineMessagesApi(key="right") as strict:
        wrong = troubles(local, face, ANTHROPIC_BASE_URL=strict.base_url, ANTHROPIC_API_KEY="wrong")["model access"]
    silent = troubles(local, face, ANTHROPIC_BASE_URL=strict.base_url)["model access"]
    assert (silent.level, wrong.level) == ("warn", "fail")
    assert "does not answer" in silent.finding
    assert wrong.finding.endswith("refuses a key in the environment (401)")
    assert silent.cure == wrong.cure == face.set_key


def test_no_access_to_a_model_is_told(tmp_path: Path) -> None:
    """Where no engine holds any either."""
    environ = {"HOME": str(tmp_path), "SAGAFLOW_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
    (found,) = (each for each in doctor.examine(environ, faces.CLI) if each.name == "model access")
    assert (found.level, found.cure) == ("warn", faces.CLI.set_key)


@pytest.mark.parametrize(
    ("script", "finding"),
    [
        ("echo '2.1.30 (Claude Code)'", "is 2.1.30, older than 2.1.197"),
        ("exit 3", "does not say its version"),
    ],
)
def test_a_claude_code_that_is_too_old_or_broken_is_told(
    local: LocalSagaflow, tmp_path: Path, script: str, finding: str
) -> None:
    """It would refuse the plugin's hooks, or the options that a run's calls need."""
    claude = tmp_path / "claude"
    claude.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    claude.chmod(0o755)
    found = troubles(local, SAGAFLOW_CLAUDE=str(claude))["claude code"]
    assert finding in found.finding


def test_a_step_that_fails_again_and_again_is_told_with_its_error(local: LocalSagaflow) -> None:
    """Of a run that goes on trying; over MCP the cure is a tool."""
    run_id = local.launch("lanes", lanes=1, steps=1)
    waiting.eventually(lambda: failed_often(local, run_id), "some attempts have failed", 60)
    found = troubles(local, faces.MCP)["runs"]
    assert run_id in found.finding
    assert "attempts have failed, the last: " in found.finding
    assert found.cure == f"put that right, and it goes on; or control_run with cancel ends it: {run_id}"
    anyio.run(steering.cancel, local.settings, run_id)


def failed_often(local: LocalSagaflow, run_id: str) -> bool:
    """Whether `doctor` would tell of the run."""
    return runs.get(local.settings.home, run_id).progress.failed_in_a_row >= run_checks.TRIES


def test_a_paused_run_is_not_forgotten(local: LocalSagaflow) -> None:
    """It is no trouble, and is told all the same."""
    run_id = local.launch("team", what="tidy")
    anyio.run(steering.pause, local.settings, run_id)
    (found,) = (each for each in examined(local) if each.name == "runs")
    assert (found.level, found.finding) == ("info", f"1 open run is paused: {run_id}")
    anyio.run(steering.cancel, local.settings, run_id)


def test_a_marker_that_belongs_to_nothing_is_told(tmp_path: Path) -> None:
    """As after somebody has removed a run's folder, while no engine ends it."""
    environ = {"HOME": str(tmp_path), "SAGAFLOW_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
    home = Home.from_environment(environ).prepare()
    assert markers.claim(home, records.OpenRun("lost-1", "lost", "", "", records.moment(time.time() - 600), ""))
    found = {each.name: each for each in doctor.examine(environ, faces.CLI)}["runs"]
    assert found.finding == f"lost-1 is marked as open, but what it runs is not written down in {home.run('lost-1')!r}"
    assert found.cure == faces.CLI.start_engine


def test_a_process_that_nobody_looks_after_is_found_and_ended(
    local: LocalSagaflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one of this home, and none that the engine knows."""
    monkeypatch.setattr(process_checks, "YOUNG", -1)
    words = ["-m", "sagaflow_mcp.worker", "--home", local.settings.home.root]
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", *words]) as orphan:
        try:
            found = troubles(local)["processes"]
            assert f"process {orphan.pid} is of this home" in found.finding
            environ = {**local.environment(), "PATH": "/usr/bin:/bin"}
            done = [each.finding for each in doctor.mend(environ)]
            assert done == [f"process {orphan.pid}, which nobody looked after, was ended"]
            assert orphan.wait(10) == -signal.SIGKILL
        finally:
            orphan.kill()
    assert troubles(local) == {}


def test_what_is_no_entry_of_the_inbox_is_told_and_moved_aside(local: LocalSagaflow) -> None:
    """Nothing of it is lost."""
    home = local.settings.home
    Path(home.inbox, "new", "x-1~0.json").write_text("{", encoding="utf-8")
    assert "x-1~0.json is not an inbox entry" in troubles(local)["inbox"].finding
    assert as_process(local, "doctor", "--fix", "--json").returncode == 0
    assert troubles(local) == {}
    (moved,) = Path(home.inbox, "damaged").iterdir()
    assert moved.read_text(encoding="utf-8") == "{"


def test_a_foreign_message_is_told(local: LocalSagaflow) -> None:
    """With the file that remembers it."""
    path = Path(refused.path(local.settings.home))
    path.write_text(json.dumps({"at": records.now(), "workflow_id": "x", "reason": "a start"}) + "\n", encoding="utf-8")
    try:
        found = troubles(local)["foreign messages"]
    finally:
        path.unlink()
    assert (found.level, str(path) in found.cure) == ("warn", True)


def test_a_clock_that_was_set_back_is_told(local: LocalSagaflow) -> None:
    """By what was written in what is now the future."""
    path = Path(local.settings.home.runs, "from-the-future")
    path.mkdir()
    os.utime(path, (time.time() + 7200, time.time() + 7200))
    try:
        found = troubles(local)["clock"]
    finally:
        path.rmdir()
    assert "the clock was set back" in found.finding


def test_a_hook_whose_script_is_gone_is_told(local: LocalSagaflow) -> None:
    """As after an environment was removed."""
    environ = local.environment()
    session_hook.install(environ)
    settings = local.folder / ".claude" / "settings.json"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(
        text.replace(str(session_hook.folder()), str(local.folder / "sagaflow" / "hooks")), encoding="utf-8"
    )
    try:
        found = troubles(local)["hook"]
    finally:
        shutil.rmtree(local.folder / ".claude")
    assert found.finding.endswith("run.sh, which is gone")
    assert "`sagaflow hook install`" in found.cure


def test_a_broken_skill_is_told(local: LocalSagaflow, tmp_path: Path) -> None:
    """With the reason."""
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "__init__.py").write_text("not Python", encoding="utf-8")
    found = troubles(local, SAGAFLOW_SKILLS_PATH=str(tmp_path))["skill bad"]
    assert "has neither a register(registry) in __init__.py nor a function with @skill" in found.finding


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process stands still while the body runs."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_an_engine_that_hangs_is_told_with_the_readers_cure(local: LocalSagaflow) -> None:
    """It lives, and does not answer."""
    pid = (engine_client.status(local.settings.home) or {})["pid"]
    with stopped(pid):
        shell, agent = troubles(local)["engine"], troubles(local, faces.MCP)["engine"]
    assert "it hangs" in shell.finding
    assert (shell.cure, agent.cure) == (
        "`sagaflow engine stop` ends it",
        f"end process {pid}: another engine takes its place",
    )


def test_a_worker_that_no_longer_reaches_temporal_is_told(
    local: LocalSagaflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the engine takes it for dead."""
    monkeypatch.setattr(doctor, "SILENT_SECONDS", 0.0)
    found = troubles(local)["worker"]
    assert (found.level, "has not reached Temporal for" in found.finding) == ("fail", True)


def test_an_engine_of_another_version_is_told(local: LocalSagaflow, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after an update, until the next launch."""
    monkeypatch.setattr(doctor, "__version__", "99.0.0")
    found = troubles(local)["engine"]
    assert found.finding.endswith("and this is 99.0.0")


def test_a_full_disk_is_told(local: LocalSagaflow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a run has to stop for it."""
    monkeypatch.setattr(doctor, "LOW_DISK_BYTES", 10**15)
    assert troubles(local)["home"].cure == "make room on that disk: a run that cannot write stops"


def test_over_mcp_no_cure_is_a_command_that_a_plugin_only_user_lacks() -> None:
    """Whatever is found."""
    assert not [cure for cure in dataclasses.astuple(faces.MCP) if "`sagaflow " in cure]
