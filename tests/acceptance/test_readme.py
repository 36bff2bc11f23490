"""The README, carried out: its commands, its first skill and its configuration."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import connection, mcp_servers
from sagaflow_mcp.settings import Settings, read
from sagaflow_mcp.testing import Rule
from tests.acceptance import documents, tools

if TYPE_CHECKING:
    from sagaflow_mcp.testing import LocalSagaflow

README = tools.ROOT.joinpath("README.md").read_text(encoding="utf-8")

INSTALLING = {
    "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/sagaflow demo": "The run ended: DONE",
    "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest": "test_readme.py",
    "claude plugin marketplace add ./": "Successfully added marketplace: sagaflow",
    "claude plugin install sagaflow@sagaflow": "Successfully installed plugin: sagaflow@sagaflow",
    "claude plugin marketplace update sagaflow": "Successfully updated marketplace: sagaflow",
    "claude plugin update sagaflow@sagaflow": "sagaflow is already at the latest version",
    "claude plugin disable sagaflow@sagaflow": "Successfully disabled plugin: sagaflow",
    "claude plugin uninstall sagaflow@sagaflow": "Successfully uninstalled plugin: sagaflow",
}
"""Commands in a fresh checkout, and what they print among other things."""

HOOKING = {
    "sagaflow hook install --yes": "installed: ",
    "sagaflow hook uninstall --yes": "removed from ",
}
"""Commands with the package installed, and without the plugin."""

LAUNCHING = {
    "sagaflow launch hello-world --name alice --await": "hello, alice",
    'sagaflow launch --task "List every TODO of this folder in todo.md" --await': "todo.md has every TODO.",
    "sagaflow skills list": "hello-world  [bundled]",
    "sagaflow skills check": "hello-world: ok",
    "sagaflow runs": "DONE       hello-world-",
    "sagaflow inbox": "hello, alice",
    "sagaflow dismiss --all": "dismissed hello-world-",
    "sagaflow doctor": "[ok] worker: ",
    "sagaflow engine status": "running",
    "sagaflow engine logs": "worker.log",
    "sagaflow worker status": "pid ",
    "sagaflow gc --dry-run": "nothing is old enough to be removed",
    "sagaflow engine stop": "the engine has stopped",
    "sagaflow runs --skill hello-world --since 2d": "DONE       hello-world-",
    "sagaflow watch": "no run is open",
}
"""Commands with the package installed."""

SCHEDULING = {
    "sagaflow schedule add nightly hello-world --cron '0 2 * * *' --timezone Europe/Berlin --name alice": (
        "nightly: active, hello-world (name=alice) at '0 2 * * *' Europe/Berlin, catch-up 1h, overlap skip"
    ),
    "sagaflow schedule list": "nightly: active",
    "sagaflow schedule show nightly": ":00:00Z",
    "sagaflow schedule run-now nightly": "launched nightly-",
    "sagaflow schedule pause nightly": "nightly: paused",
    "sagaflow schedule resume nightly": "nightly: active",
    "sagaflow schedule remove nightly": "schedule nightly is removed",
}
"""Commands with the package installed, and a model."""

CONFIGURING = {
    "sagaflow config": "engine.idle_seconds      900.0 ",
    "sagaflow config set engine.idle_seconds 600": "engine.idle_seconds is set in ",
    "sagaflow config get engine.idle_seconds": "600\n",
    "sagaflow config unset engine.idle_seconds": "engine.idle_seconds is no longer set in ",
}
"""Commands with a home."""

GREETING = {"sagaflow launch greet --name bob --await": "hi bob"}
"""With the first skill in its place."""

INSPECTING = {"npx @modelcontextprotocol/inspector@2.12.0 --cli sagaflow-mcp --method tools/list": "launch_workflow"}

LOOKING = {
    'temporal workflow list --address "$ADDRESS"': "HelloWorld",
    'temporal workflow show --address "$ADDRESS" --workflow-id "$RUN"': "WorkflowExecutionCompleted",
}
"""With the server's address and a run's id in variables."""

BUNDLED = sorted(each.parent.name for each in tools.ROOT.glob("skills/*/SKILL.md"))
"""The skills that come with the package."""

THIS = "tests/acceptance/test_readme.py"

INSTALL_SECONDS = 400
COMMAND_SECONDS = 90


def test_each_command_is_run_by_a_test_here() -> None:
    """A command that is new in the README needs a place above."""
    assert documents.commands(README) == [
        *INSTALLING,
        *HOOKING,
        *LAUNCHING,
        *GREETING,
        *SCHEDULING,
        *CONFIGURING,
        *LOOKING,
        *INSPECTING,
    ]


def test_the_commands_in_a_fresh_checkout_work(tmp_path: Path, claude: Path) -> None:
    """In the README's order, in one folder, as somebody would who has just got it."""
    checkout = tools.copy_of_checkout(tmp_path / "sagaflow")
    commands = checkout / ".venv" / "bin"
    environment = {
        **tools.pip_environment(),
        "PATH": tools.path(commands, claude),
        "HOME": str(tmp_path),
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",  # With the provider's own address it would be looked for.
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    for command, said in INSTALLING.items():
        # The tests are these: to run them here would not end.
        line = f"{command} --collect-only --quiet {THIS}" if command.endswith("/pytest") else command
        assert said in tools.run(line, env=environment, cwd=checkout, seconds=INSTALL_SECONDS).stdout
        if "pip install . " in command:
            # Of a wheel: the next command installs from the checkout.
            apart = {**environment, "CLAUDE_CONFIG_DIR": str(tmp_path / "apart")}
            shown = tools.run("sagaflow hook install --yes --json", env=apart, cwd=tmp_path).stdout
            (script,) = map(Path, json.loads(shown)["scripts"])
            assert script.is_file()
            assert script.parts[-3:] == ("sagaflow_mcp", "bundled_hooks", "run.sh")
    listed = tools.run("sagaflow skills list", env=environment, cwd=tmp_path).stdout
    assert [line.split("  ")[:2] for line in listed.splitlines()] == [[name, "[bundled]"] for name in BUNDLED]


def test_the_commands_in_a_shell_work(local: LocalSagaflow) -> None:
    """In the README's order, with a model."""
    reply = "STRUCTURED_OUTPUT_START\nGREETING|hello, ${1}\nSTRUCTURED_OUTPUT_END"
    listed = Rule(match="List every TODO of this folder", reply="todo.md has every TODO.")
    local.model.replace(Rule(match=r"Please greet (\w+)", reply=reply), listed)
    environment = {**local.environment(), "PATH": tools.path()}
    for command, said in {**HOOKING, **LAUNCHING}.items():
        shown = tools.run(command, env=environment, cwd=local.folder, seconds=COMMAND_SECONDS).stdout
        assert said in shown
        assert "--await" not in command or shown.splitlines()[-1] == said


def test_the_commands_for_schedules_work(local: LocalSagaflow) -> None:
    """In the README's order; the run that is launched beside its times ends as any."""
    local.model.replace(Rule(match="Please greet", reply="STRUCTURED_OUTPUT_START\nGREETING|hi\nSTRUCTURED_OUTPUT_END"))
    environment = {**local.environment(), "PATH": tools.path()}
    for command, said in SCHEDULING.items():
        shown = tools.run(command, env=environment, cwd=local.folder, seconds=COMMAND_SECONDS).stdout
        assert said in " ".join(shown.split())
        if "run-now" in command:
            assert local.wait(shown.split()[-1]).result == "hi"


def test_temporals_own_commands_show_a_run_of_the_embedded_server(local: LocalSagaflow) -> None:
    """By the address that the engine's status names, and with its content sealed."""
    local.model.replace(Rule(match="Please greet", reply="STRUCTURED_OUTPUT_START\nGREETING|hi\nSTRUCTURED_OUTPUT_END"))
    run = local.wait(local.launch("hello-world", name="alice"))
    environment = {**local.environment(), "PATH": tools.path(), "RUN": run.run_id}
    shown = tools.run("sagaflow engine status", env=environment).stdout
    (environment["ADDRESS"],) = re.findall(r"^server .*address ([^\s,]+)", shown, re.MULTILINE)
    for command, said in LOOKING.items():
        shown = tools.run(command, env=environment, seconds=COMMAND_SECONDS).stdout
        assert said in shown
        assert run.run_id in shown or "show" in command
        assert "alice" not in shown


def test_the_other_ways_to_give_arguments_work(local: LocalSagaflow) -> None:
    """Those which the README's text mentions, and a run under an id of one's own, shown step by step."""
    reply = "STRUCTURED_OUTPUT_START\nGREETING|hello, ${1}\nSTRUCTURED_OUTPUT_END"
    local.model.replace(Rule(match=r"Please greet (\w+)", reply=reply))
    before = len(local.model.requests)
    environment = {**local.environment(), "PATH": tools.path()}
    for number, words in enumerate(("--arg name=carol", """--args-json '{"name": "carol"}'""")):
        command = f"sagaflow launch hello-world {words} --id own-{number} --await"
        for _ in range(2):
            shown = tools.run(command, env=environment, cwd=local.folder, seconds=COMMAND_SECONDS).stdout
            assert shown.splitlines()[-1] == "hello, carol"
    assert len(local.model.requests) == before + 2
    shown = tools.run("sagaflow show own-0", env=environment, cwd=local.folder).stdout
    assert "own-0: DONE" in shown
    assert "finished  greeter" in shown


def test_the_first_skill_works_where_the_readme_says(local: LocalSagaflow) -> None:
    """Its three files, in the user's folder of skills."""
    documents.write_files(README, local.folder / ".claude" / "skills")
    local.model.replace(
        Rule(match="Greet bob", reply="STRUCTURED_OUTPUT_START\nGREETING|hi bob\nSTRUCTURED_OUTPUT_END")
    )
    environment = {**local.environment(), "PATH": tools.path()}
    for command, said in GREETING.items():
        shown = tools.run(command, env=environment, cwd=local.folder, seconds=COMMAND_SECONDS).stdout
        assert shown.splitlines()[-1] == said


def test_the_configuration_is_understood(tmp_path: Path) -> None:
    """Each setting that the README shows has an effect."""
    text, servers, own = documents.blocks(README, "toml")
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    home.joinpath("config.toml").write_text(f"{text}{servers}{own}", encoding="utf-8")
    settings = Settings.load({"SAGAFLOW_HOME": str(home), "TEMPORAL_API_KEY": "k"})
    server = connection.own(settings)
    assert server is not None
    assert (server.address, server.namespace) == ("your-namespace.a1b2c.tmprl.cloud:7233", "your-namespace.a1b2c")
    assert server.options == {"api_key": "k", "tls": True}
    shown = tomllib.loads(text)
    assert settings.notify == shown["inbox"]["notify"]
    assert settings.idle_seconds == shown["engine"]["idle_seconds"]
    kept = (settings.keep_runs_days, settings.keep_history_days, settings.keep_logs_days)
    assert kept == (shown["keep"]["runs_days"], shown["keep"]["history_days"], shown["keep"]["logs_days"])
    assert settings.concurrent_model_calls == shown["models"].pop("concurrent_calls")
    files, web = mcp_servers.of_config(read(settings.home)[mcp_servers.TABLE]).values()
    assert (files.command, web.headers, web.seconds) == ("npx", {"Authorization": "Bearer ${EXAMPLE_TOKEN}"}, 300)
    assert settings.models == {tier.upper(): model for tier, model in shown["models"].items()}


def test_the_commands_that_configure_work(tmp_path: Path) -> None:
    """In the README's order; nothing is left of them."""
    environment = {"PATH": tools.path(), "HOME": str(tmp_path)}
    for command, said in CONFIGURING.items():
        assert said in tools.run(command, env=environment, cwd=tmp_path).stdout
    assert tomllib.loads(tmp_path.joinpath(".sagaflow", "config.toml").read_text(encoding="utf-8")) == {"engine": {}}


@pytest.mark.parametrize(("command", "said"), INSPECTING.items())
def test_the_inspector_shows_the_tools(command: str, said: str, inspector: Path, tmp_path: Path) -> None:
    """With the Inspector installed, so that npx need not fetch it."""
    assert f"{'@'.join(tools.INSPECTOR)} " in command
    environment = {"PATH": tools.path(), "HOME": str(tmp_path), "NPM_CONFIG_OFFLINE": "true"}
    assert said in tools.run(command, env=environment, cwd=inspector, seconds=COMMAND_SECONDS).stdout
