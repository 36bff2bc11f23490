"""A project whose settings choose for the user: refused everywhere, until the user allows it with `sagaflow config`."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from mcp import Client, StdioServerParameters

from sagaflow_mcp import inbox, records
from sagaflow_mcp.paths import Home
from sagaflow_mcp.records import Entry
from sagaflow_mcp.testing import LocalSagaflow, Rule
from tests.acceptance import tools

if TYPE_CHECKING:
    from collections.abc import Iterator

SAGAFLOW = str(tools.COMMANDS / "sagaflow")
SERVER = str(tools.COMMANDS / "sagaflow-mcp")
LIMIT = 90
"""Seconds that one test may take."""

GUARDED = {
    "SAGAFLOW_HOME": "projects.home",
    "SAGAFLOW_SERVER": "projects.server",
    "SAGAFLOW_SKILLS_PATH": "skills.path",
    "ANTHROPIC_BASE_URL": "models.base_url",
    "SAGAFLOW_CLAUDE": "claude.command",
    "CLAUDE_CONFIG_DIR": "claude.config_dir",
}
"""Each guarded variable with the setting that allows it."""


class Machine:
    """A user with a home of their own, and a clone of a stranger's repository."""

    def __init__(self, folder: Path) -> None:
        self.user = folder
        self.project = folder / "clone"
        self.project.joinpath(".claude").mkdir(parents=True)
        self.stranger = Home(str(self.project / "home")).prepare()
        created_at = records.now()
        entry = Entry("run-1~1", "run-1", "evil", "DONE", "planted", created_at, "", str(self.project))
        inbox.deliver(self.stranger, entry)
        self.environ = {
            "PATH": tools.path(),
            "HOME": str(folder),
            "ANTHROPIC_API_KEY": "offline",
            "SAGAFLOW_NOTIFY": "0",
        }

    def value(self, variable: str) -> str:
        """What the stranger would have `variable` be."""
        return {"SAGAFLOW_HOME": self.stranger.root, "ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}.get(
            variable, str(self.project / variable.lower())
        )

    def session(self, variable: str) -> dict[str, str]:
        """The environment of a session in the clone, whose settings set `variable`."""
        env = {variable: self.value(variable)}
        self.project.joinpath(".claude", "settings.json").write_text(json.dumps({"env": env}), encoding="utf-8")
        return {**self.environ, "CLAUDE_PROJECT_DIR": str(self.project), **env}

    def run(self, *arguments: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """A `sagaflow` command in the clone."""
        return subprocess.run(
            [SAGAFLOW, *arguments],
            env=environ or self.environ,
            cwd=self.project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=LIMIT,
            check=False,
        )

    def write_config(self, text: str) -> None:
        """Have `text` be the user's `config.toml`."""
        Path(Home.from_environment(self.environ).config).write_text(text, encoding="utf-8")

    def hook(self, environ: dict[str, str]) -> str:
        """What the hook prints at the start of a session."""
        event = {"hook_event_name": "SessionStart", "session_id": "5e55-1", "cwd": str(self.project)}
        return subprocess.run(
            ["sh", str(tools.ROOT / "hooks" / "run.sh"), "session-start"],
            env=environ,
            cwd=self.project,
            input=json.dumps(event),
            capture_output=True,
            encoding="utf-8",
            timeout=LIMIT,
            check=True,
        ).stdout


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine on which nothing was allowed yet."""
    return Machine(tmp_path)


@pytest.mark.parametrize("variable", GUARDED)
def test_a_command_is_refused_until_the_user_allows_it(machine: Machine, variable: str) -> None:
    """One sentence with what, where and the way out, which works when it is followed to the letter."""
    environ = machine.session(variable)
    for command in (["launch", "hello-world", "--name", "x"], ["inbox"]):
        refused = machine.run(*command, environ=environ)
        assert (refused.returncode, refused.stdout) == (1, "")
        (line,) = refused.stderr.splitlines()
        file = machine.project / ".claude" / "settings.json"
        assert line.startswith(f"sagaflow: {variable} is '{machine.value(variable)}', which '{file}' sets")
    assert not machine.user.joinpath(".sagaflow").exists()

    doctor = machine.run("doctor", environ=environ)
    assert doctor.returncode == 1
    assert f"[fail] project settings: {variable} is " in doctor.stdout
    assert f"[ok] home: {machine.user}/.sagaflow" in doctor.stdout

    way_out = line.partition("if you trust that: ")[2].partition("; else ")[0]
    assert way_out == f"sagaflow config set {GUARDED[variable]} {machine.value(variable)}"
    assert machine.run(*shlex.split(way_out)[1:], environ=environ).returncode == 0
    listed = machine.run("inbox", environ=environ)
    assert listed.returncode == 0, listed.stderr
    assert ("planted" in listed.stdout) == (variable == "SAGAFLOW_HOME")
    assert f"[info] project settings: {variable} comes from " in machine.run("doctor", environ=environ).stdout


@pytest.mark.anyio
@pytest.mark.parametrize("variable", GUARDED)
async def test_a_tool_is_refused_until_the_user_allows_it(machine: Machine, variable: str) -> None:
    """With the line for `config.toml`: a plugin-only user has no command. The session need not be started again."""
    environ = machine.session(variable)
    started = StdioServerParameters(command=SERVER, env=environ, cwd=machine.project)
    with anyio.fail_after(LIMIT):
        async with Client(started, read_timeout_seconds=LIMIT) as client:
            launch = {"skill": "hello-world", "args": {"name": "x"}}
            for tool, arguments in (("launch_workflow", launch), ("list_inbox", {})):
                failed, text = await tools.said(client, tool, **arguments)
                assert failed
                assert f"{variable} is '{machine.value(variable)}', which " in text
                assert "\n" not in text
                assert "sagaflow config" not in text
            assert not machine.user.joinpath(".sagaflow").exists()
            failed, text = await tools.said(client, "doctor")
            assert not failed
            assert f"[fail] project settings: {variable} is " in text

            line = text.partition("either the line ")[2].partition(" goes below [")[0]
            machine.write_config(f"[{GUARDED[variable].partition('.')[0]}]\n{line}\n")
            failed, text = await tools.said(client, "list_inbox")
            assert not failed, text
            assert ("planted" in text) == (variable == "SAGAFLOW_HOME")


@pytest.mark.parametrize("variable", ["SAGAFLOW_HOME", "CLAUDE_PLUGIN_OPTION_HOME"])
def test_the_hook_says_nothing_of_a_strangers_inbox(machine: Machine, variable: str) -> None:
    """It says why it is not shown; once it is allowed, it is."""
    environ = machine.session(variable)
    environ[variable] = machine.stranger.root
    machine.project.joinpath(".claude", "settings.json").write_text(
        json.dumps({"env": {variable: machine.stranger.root}}), encoding="utf-8"
    )
    told = machine.hook(environ)
    assert "Sagaflow inbox: not shown." in told
    assert "planted" not in told
    assert machine.stranger.root not in told
    assert os.listdir(machine.stranger.seen) == []  # noqa: PTH208 - a plain name in a plain folder
    assert machine.run("config", "set", "projects.home", machine.stranger.root).returncode == 0
    assert "planted" in machine.hook(environ)


def test_the_hook_is_silent_where_a_strangers_inbox_is_empty(machine: Machine) -> None:
    """Nothing is withheld then."""
    inbox.dismiss(machine.stranger, None)
    assert machine.hook(machine.session("SAGAFLOW_HOME")) == ""


def test_the_hook_shows_the_users_own_inbox_in_a_project_that_sets_another_address(machine: Machine) -> None:
    """The inbox depends on the home alone."""
    own = Home.from_environment(machine.environ).prepare()
    inbox.deliver(own, Entry("run-2~1", "run-2", "mine", "DONE", "well done", records.now(), "", str(machine.project)))
    assert "well done" in machine.hook(machine.session("ANTHROPIC_BASE_URL"))


def test_the_hook_is_put_where_the_user_says_and_not_where_a_project_does(machine: Machine) -> None:
    """`claude.config_dir` counts for it as for everything else."""
    refused = machine.run("hook", "install", "--yes", environ=machine.session("CLAUDE_CONFIG_DIR"))
    assert refused.returncode == 1
    assert refused.stderr.startswith("sagaflow: CLAUDE_CONFIG_DIR is ")
    assert not Path(machine.value("CLAUDE_CONFIG_DIR")).exists()
    own = machine.user / "own"
    assert machine.run("config", "set", "claude.config_dir", str(own)).returncode == 0
    installed = machine.run("hook", "install", "--yes")
    assert installed.returncode == 0, installed.stderr
    assert own.joinpath("settings.json").is_file()


@pytest.fixture
def local() -> Iterator[LocalSagaflow]:
    """A Sagaflow of the test's own, in whose folder a project lies."""
    with LocalSagaflow() as started:
        yield started


def test_an_address_and_skills_that_were_allowed_are_used(local: LocalSagaflow) -> None:
    """By a project that sets them, and by a shell that sets nothing."""
    reply = "STRUCTURED_OUTPUT_START\nGREETING|hello, x\nSTRUCTURED_OUTPUT_END"
    local.model.add(Rule(match="Please greet", reply=reply))
    project = local.folder / "project"
    skill = project / "skills" / "hello-there"
    project.joinpath(".claude").mkdir(parents=True)
    skill.parent.mkdir()
    for path in (tools.ROOT / "skills" / "hello-world").rglob("*"):
        if path.is_file() and path.suffix in {".py", ".md"}:
            copy = skill / path.relative_to(tools.ROOT / "skills" / "hello-world")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(path.read_text(encoding="utf-8").replace("hello-world", "hello-there"), encoding="utf-8")
    env = {"ANTHROPIC_BASE_URL": local.model.base_url, "SAGAFLOW_SKILLS_PATH": "skills"}
    project.joinpath(".claude", "settings.local.json").write_text(json.dumps({"env": env}), encoding="utf-8")
    bare = {name: value for name, value in local.environment().items() if name not in env}
    launch = [SAGAFLOW, "launch", "hello-there", "--name", "x", "--await"]
    for name, value in (("skills.path", str(skill.parent)), ("models.base_url", local.model.base_url)):
        refused = subprocess.run(
            launch, env={**bare, **env}, cwd=project, capture_output=True, encoding="utf-8", timeout=LIMIT, check=False
        )
        assert refused.returncode == 1
        assert f"sagaflow config set {name} {value}; " in refused.stderr
        tools.run([SAGAFLOW, "config", "set", name, value], env=bare, cwd=project)
    for environ in ({**bare, **env}, bare):
        assert tools.run(launch, env=environ, cwd=project, seconds=LIMIT).stdout.splitlines()[-1] == "hello, x"
    assert len(local.model.requests) == 2
