"""Runs are steered from wherever their owner is: another session of the real Claude Code, or a shell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import runs
from sagaflow_mcp.testing import Rule, ToolUse
from tests import waiting
from tests.acceptance import tools
from tests.acceptance.claude_code import PLUGIN, PREFIX, ClaudeCode

if TYPE_CHECKING:
    from pathlib import Path

    from sagaflow_mcp.testing import LocalSagaflow

SKILLS = {"sagaflow:inbox", "sagaflow:runs", "sagaflow:launch"}
"""What the plugin teaches Claude."""


def launch(run_id: str, **more: Any) -> ToolUse:
    """A draft of a note, which a person is then asked about."""
    given = {"skill": "approval", "args": {"task": "A thank-you note"}, "run_id": run_id, **more}
    return ToolUse(name=f"{PREFIX}launch_workflow", input=given)


def control(run_id: str, action: str, **more: Any) -> ToolUse:
    """An action on a run."""
    return ToolUse(name=f"{PREFIX}control_run", input={"run_id": run_id, "action": action, **more})


def test_a_run_is_steered_from_another_session_and_from_a_shell(
    claude: Path, tmp_path: Path, sagaflow: LocalSagaflow
) -> None:
    """Launched in one session; seen, paused, resumed, answered and cancelled from others, and from a shell."""
    claude_code = ClaudeCode(tmp_path / "claude", claude)
    claude_code.run("plugin", "marketplace", "add", str(tools.copy_of_checkout(tmp_path / "market" / "sagaflow")))
    claude_code.run("plugin", "install", PLUGIN)
    sagaflow.model.add(
        Rule(match="A thank-you note", reply="Thank you.", hold="draft"),
        Rule(match="Begin them", tools=(launch("mine"), launch("other"), launch("third")), times=1),
        Rule(match="Hold it", tools=(ToolUse(name=f"{PREFIX}get_run", input={"run_id": "mine"}),), times=1),
        Rule(match="writer", tools=(control("mine", "pause"),), times=1),
        Rule(match="Let it go on", tools=(control("mine", "resume"),), times=1),
        Rule(match="run mine goes on", tools=(launch("mine", wait_seconds=60),), times=1),
        Rule(match="asks q", tools=(control("mine", "answer", answer="yes"), control("other", "cancel")), times=1),
        Rule(reply="understood"),
    )
    begun = claude_code.session("Begin them", sagaflow).event(type="system", subtype="init")
    assert set(begun["slash_commands"]) >= SKILLS
    claude_code.session("Hold it", sagaflow)
    assert runs.get(sagaflow.settings.home, "mine").state == "PAUSED"

    def shell(*words: str) -> Any:
        """What a command of the user's says, as JSON."""
        command = [str(tools.COMMANDS / "sagaflow"), *words, "--json"]
        return json.loads(tools.run(command, env=sagaflow.environment(), cwd=tmp_path).stdout)

    assert shell("pause", "third")["state"] == "PAUSED"
    sagaflow.model.release("draft")
    waiting.eventually(lambda: shell("show", "mine")["progress"]["steps_finished"] == 1)
    assert {each["run_id"]: each["state"] for each in shell("runs")} == {
        "mine": "PAUSED",
        "other": "RUNNING",
        "third": "PAUSED",
    }
    assert not shell("show", "mine")["questions"]

    claude_code.session("Let it go on", sagaflow)
    assert sagaflow.wait("mine").result == "draft 1 was approved"
    assert sagaflow.wait("other").state == "CANCELLED"
    assert shell("resume", "third")["state"] == "RUNNING"
    waiting.eventually(lambda: shell("show", "third")["questions"])
    assert shell("answer", "third", "no")["run_id"] == "third"
    assert sagaflow.wait("third").result == "draft 1 was rejected"
    assert shell("cancel", sagaflow.launch("approval", task="A thank-you note"))["state"] == "CANCELLED"
