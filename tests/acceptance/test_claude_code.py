"""The real Claude Code with the plugin installed, and the offline model in place of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sagaflow_mcp import engine_client, inbox, markers, processes, records
from sagaflow_mcp.paths import Home
from sagaflow_mcp.records import Entry
from sagaflow_mcp.testing import Rule, ToolUse
from tests.acceptance import tools
from tests.acceptance.claude_code import LIMIT, PLUGIN, PREFIX, SERVER, TOOLS, ClaudeCode

if TYPE_CHECKING:
    from pathlib import Path

    from sagaflow_mcp.testing import LocalSagaflow


LAUNCH = {"task": "Make the file.", "run_id": "asks-1", "wait_seconds": 60}


ENTER, RIGHT = "\r", "\x1b[C"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout, which is a marketplace."""
    return tools.copy_of_checkout(tmp_path_factory.mktemp("market") / "sagaflow")


@pytest.fixture(scope="module")
def claude_code(checkout: Path, each_claude: Path, tmp_path_factory: pytest.TempPathFactory) -> ClaudeCode:
    """Claude Code with the plugin installed from the checkout."""
    found = ClaudeCode(tmp_path_factory.mktemp("claude"), each_claude)
    found.run("plugin", "marketplace", "add", str(checkout))
    found.run("plugin", "install", PLUGIN)
    return found


def asked(local: LocalSagaflow, prompt: str) -> list[str]:
    """The requests, as JSON, that Claude Code sent in the session that began with `prompt`."""
    bodies = [each.body for each in local.model.requests if "claude-cli" in each.headers.get("user-agent", "")]
    return [text for text in map(json.dumps, bodies) if prompt in text]


def told(local: LocalSagaflow, text: str) -> list[dict[str, Any]]:
    """The results of tool calls that Claude Code showed to the model in the session that had `text` in it."""
    (*_, last) = asked(local, text)
    blocks = [
        block for each in json.loads(last)["messages"] if isinstance(each["content"], list) for block in each["content"]
    ]
    return [block for block in blocks if block["type"] == "tool_result"]


def test_the_checkout_is_a_valid_plugin_and_marketplace(claude_code: ClaudeCode, checkout: Path) -> None:
    """Strictly: a warning would be a failure."""
    claude_code.run("plugin", "validate", "--strict", str(checkout))
    (plugin,) = json.loads(claude_code.run("plugin", "list", "--json"))
    assert plugin["id"] == PLUGIN
    assert plugin["enabled"]
    assert not plugin.get("errors")


def test_a_launched_run_is_told_to_the_next_session_once(claude_code: ClaudeCode, sagaflow: LocalSagaflow) -> None:
    """The launching session ends at once; the run ends without it; the next session knows, and repeats nothing."""
    launch = ToolUse(name=f"{PREFIX}launch_workflow", input={"skill": "hello-world", "args": {"name": "alice"}})
    sagaflow.model.add(
        Rule(
            match="Please greet (alice)", reply="STRUCTURED_OUTPUT_START\nGREETING|hello, ${1}\nSTRUCTURED_OUTPUT_END"
        ),
        Rule(match="Begin the greeting", tools=(launch,), times=1),
        Rule(reply="understood"),
    )

    session = claude_code.session("Begin the greeting", sagaflow)
    begun = session.event(type="system", subtype="init")
    assert {"name": SERVER, "status": "connected"}.items() <= begun["mcp_servers"][0].items()
    assert {name for name in begun["tools"] if name.startswith(PREFIX)} == {PREFIX + name for name in TOOLS}
    assert not begun.get("plugin_errors")
    ended = session.event(type="result")
    assert (ended["is_error"], ended["permission_denials"], ended["result"]) == (False, [], "understood")
    assert "durable workflows in the background" in asked(sagaflow, "Begin the greeting")[0]
    (result,) = told(sagaflow, "Begin the greeting")
    assert not result.get("is_error"), result
    run_id = json.loads(result["content"])["run_id"]

    run = sagaflow.wait(run_id)
    assert (run.state, run.result) == ("DONE", "hello, alice")

    second = claude_code.session("What is new?", sagaflow)
    (first_request, *_) = asked(sagaflow, "What is new?")
    assert first_request.count(f"run {run_id}: hello, alice") == 1

    claude_code.session("And now?", sagaflow, "--resume", second.session_id)
    (resumed, *_) = asked(sagaflow, "And now?")
    assert "What is new?" in resumed
    assert resumed.count(f"run {run_id}: hello, alice") == 1


def test_without_the_plugin_the_hook_in_the_settings_tells_a_session_once(
    checkout: Path, claude: Path, sagaflow: LocalSagaflow, tmp_path: Path
) -> None:
    """With the plugin beside it once too, and not at all once both are gone."""
    bare = ClaudeCode(tmp_path / "claude", claude)
    entry = records.Entry("x-1~a", "x-1", "x", "DONE", "hello, alice", records.now(), "", str(bare.project))
    inbox.deliver(sagaflow.settings.home, entry)
    sagaflow.model.add(Rule(reply="understood"))

    def first_request(prompt: str) -> str:
        """What the model is sent at the beginning of a new session."""
        bare.session(prompt, sagaflow)
        return asked(sagaflow, prompt)[0]

    bare.ours("hook", "install", "--yes")
    assert first_request("What is new?").count("run x-1: hello, alice") == 1
    bare.run("plugin", "marketplace", "add", str(checkout))
    bare.run("plugin", "install", PLUGIN)
    assert "are not needed" in bare.ours("hook", "install")
    assert first_request("And now?").count("run x-1: hello, alice") == 1
    bare.run("plugin", "uninstall", PLUGIN)
    bare.ours("hook", "uninstall", "--yes")
    assert "x-1" not in first_request("And in the end?")


def test_the_plugin_from_its_first_use_to_its_last(
    checkout: Path, each_claude: Path, sagaflow: LocalSagaflow, tmp_path: Path
) -> None:
    """With pip and the lock files it installs what it needs while the first call waits; the next session finds it.

    An inbox that is empty is an answer, not an error. Uninstalled while a run is open it leaves nothing running, and
    the run where it is.
    """
    pip = {name: value for name, value in tools.pip_environment().items() if name.startswith("PIP_")}
    fresh = ClaudeCode(tmp_path / "claude", each_claude, seconds=tools.INSTALL_SECONDS, SAGAFLOW_SERVER="", **pip)
    fresh.run("plugin", "marketplace", "add", str(checkout))
    home = Home(str(sagaflow.folder / "chosen"))
    fresh.run("plugin", "install", PLUGIN, "--config", f"home={home.root}")
    before = sorted(checkout.rglob("*"))
    launch = ToolUse(name=f"{PREFIX}launch_workflow", input={"skill": "hello-world", "args": {"name": "alice"}})
    sagaflow.model.add(
        Rule(match="Please greet alice", hold="for ever"),
        Rule(match="Begin at once", tools=(launch,), times=1),
        Rule(match="Look into it", tools=(ToolUse(name=f"{PREFIX}list_inbox"),), times=1),
        Rule(reply="understood"),
    )

    def answered(prompt: str) -> Any:
        """What the one tool answers that is called in a session with that prompt."""
        session = fresh.session(prompt, sagaflow)
        begun = session.event(type="system", subtype="init")
        assert [server["status"] for server in begun["mcp_servers"]] == ["connected"]
        assert session.event(type="result")["result"] == "understood"
        (result,) = told(sagaflow, prompt)
        assert not result.get("is_error"), result
        return json.loads(result["content"])

    engine = processes.Place(home.engine, "engine")
    try:
        assert answered("Begin at once")["state"] == "RUNNING"
        assert answered("Look into it") == {"unread": 0, "entries": []}
        (environment,) = [path.parent for path in fresh.data.glob("venvs/*/.ok")]
        assert environment.joinpath("bin", "sagaflow-mcp").exists()
        assert sorted(checkout.rglob("*")) == before
        assert engine.alive()
        fresh.run("plugin", "uninstall", PLUGIN)
        assert not environment.exists()
        assert engine.gone(LIMIT)
        assert len(markers.run_ids(home)) == 1
    finally:
        engine_client.stop(home)


def test_a_project_cannot_choose_for_the_user(claude_code: ClaudeCode, sagaflow: LocalSagaflow) -> None:
    """Its settings reach hook and tools, which show nothing of the inbox that they name until the user allows it."""
    stranger = Home(str(sagaflow.folder / "stranger")).prepare()
    now, project = records.now(), str(claude_code.project)
    inbox.deliver(stranger, Entry("run-1~1", "run-1", "evil", "DONE", "a stranger's words", now, "", project))
    look = ToolUse(name=f"{PREFIX}list_inbox")
    sagaflow.model.add(Rule(match="Look what came", tools=(look,), times=2), Rule(reply="understood"))
    settings = claude_code.project / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_text(json.dumps({"env": {"SAGAFLOW_HOME": stranger.root}}), encoding="utf-8")
    config = claude_code.user / ".sagaflow" / "config.toml"
    try:
        claude_code.session("Look what came first", sagaflow)
        (result,) = told(sagaflow, "Look what came first")
        assert result["is_error"]
        refused = f"SAGAFLOW_HOME is '{stranger.root}', which '{settings}' sets and you have not allowed"
        assert refused in result["content"]
        first = asked(sagaflow, "Look what came first")
        assert "Sagaflow inbox: not shown." in first[0]
        assert not any("a stranger's words" in each for each in first)

        config.parent.mkdir(mode=0o700)
        config.write_text(f"[projects]\nhome = '{stranger.root}'\n", encoding="utf-8")
        claude_code.session("Look what came then", sagaflow)
        assert "run run-1: a stranger's words" in asked(sagaflow, "Look what came then")[0]
        (result,) = told(sagaflow, "Look what came then")
        assert json.loads(result["content"])["unread"] == 1
    finally:
        settings.unlink()
        config.unlink(missing_ok=True)


@pytest.mark.parametrize("each_claude", [tools.CLAUDE_CODE], indirect=True, ids=["2.1.330"])
def test_a_permission_is_given_in_the_dialog_of_a_session(claude_code: ClaudeCode, sagaflow: LocalSagaflow) -> None:
    """Which shows the command; the run goes on with the decision, and the model is told it."""
    control = {"run_id": "asks-1", "action": "permission"}
    sagaflow.model.add(
        Rule(match="Make the file", tools=(ToolUse(name="bash", input={"command": "echo x > made.txt"}),), times=1),
        Rule(match="exit status 0", reply="made"),
        Rule(match="asks p", tools=(ToolUse(name=f"{PREFIX}control_run", input=control),), times=1),
        Rule(match="the user has decided", reply="It is decided."),
        Rule(match="Hand it over", tools=(ToolUse(name=f"{PREFIX}launch_workflow", input=LAUNCH),)),
    )
    with claude_code.terminal("Hand it over", sagaflow) as seen:
        seen.wait_for("command: echo x > made.txt")
        for key, shown in ((RIGHT, "allow for this run"), (ENTER, "Decision: allow"), (ENTER, "It is decided.")):
            seen.press(key, shown)
    run = sagaflow.wait("asks-1")
    assert (run.state, run.result) == ("DONE", "made")
    assert "allow; the run goes on" in str(told(sagaflow, "Hand it over")[-1])
    assert (claude_code.project / "made.txt").exists()
