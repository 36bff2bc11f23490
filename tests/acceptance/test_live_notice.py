"""What a live session of the real Claude Code hears of the runs that it launched."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import inbox, markers, records
from sagaflow_mcp.records import Entry
from sagaflow_mcp.testing import Rule, ToolUse
from tests import process_table
from tests.acceptance import tools
from tests.acceptance.claude_code import PLUGIN, PREFIX, ClaudeCode
from tests.waiting import eventually

if TYPE_CHECKING:
    from sagaflow_mcp.testing import LocalSagaflow
    from tests.acceptance.terminals import Terminal

ENTER = "\r"

both = pytest.mark.parametrize(
    "each_claude", [tools.CLAUDE_CODE, tools.OLDER_CLAUDE_CODE], indirect=True, ids=lambda package: package[1]
)
"""What comes in the middle of a turn is no prompt for the older one, and it leaves its hooks behind."""


@pytest.fixture(scope="module")
def claude_code(each_claude: Path, tmp_path_factory: pytest.TempPathFactory) -> ClaudeCode:
    """Claude Code with the plugin installed from a copy of this checkout, which is a marketplace."""
    found = ClaudeCode(tmp_path_factory.mktemp("claude"), each_claude)
    found.run("plugin", "marketplace", "add", str(tools.copy_of_checkout(found.user / "market" / "sagaflow")))
    found.run("plugin", "install", PLUGIN)
    return found


def launch(run_id: str) -> Rule:
    """Has the session that is told to begin it launch a greeting."""
    given = {"skill": "hello-world", "args": {"name": run_id}, "run_id": run_id}
    tool = ToolUse(name=f"{PREFIX}launch_workflow", input=given)
    return Rule(match=f"Begin {run_id}", tools=(tool,), times=1)


def greeting(run_id: str) -> Rule:
    """What the run is answered once it is released."""
    reply = f"STRUCTURED_OUTPUT_START\nGREETING|hello, {run_id}\nSTRUCTURED_OUTPUT_END"
    return Rule(match=f"Please greet {run_id}", reply=reply, hold=run_id)


def asked(local: LocalSagaflow, text: str) -> list[str]:
    """The requests, as JSON, with `text` in them that Claude Code sent."""
    bodies = [each.body for each in local.model.requests if "claude-cli" in each.headers.get("user-agent", "")]
    return [found for found in map(json.dumps, bodies) if text in found]


def ours(claude_code: ClaudeCode) -> list[str]:
    """The processes of the plugin as this Claude Code has installed it: the launcher, and hooks that wait."""
    return [line for line in process_table.naming(f"{claude_code.user}/") if "sagaflow" in line]


def waits(claude_code: ClaudeCode) -> bool:
    """Whether a hook waits for news."""
    return any(line.rpartition("run.py ")[2].startswith(("wait ", "launched ")) for line in ours(claude_code))


def told(local: LocalSagaflow, prompt: str) -> Counter[str]:
    """How often the conversation that has `prompt` in it was told of each run, as of its last request."""
    return Counter(re.findall(r"run ([a-z]+-\d): hello", asked(local, prompt)[-1]))


def says(seen: Terminal, prompt: str, shown: str) -> None:
    """Give the session a prompt, and wait for what it brings about."""
    seen.type(prompt)
    seen.wait_for(prompt)
    seen.press(ENTER, shown)


def ends(seen: Terminal) -> None:
    """Leave the session as a user does."""
    seen.type("/exit")
    seen.wait_for("/exit")
    seen.type(ENTER)
    seen.ended()


def woken(local: LocalSagaflow) -> list[Path]:
    """The files that have the time of the last wake-up, each of a Claude Code process."""
    return list(Path(local.settings.home.sessions).glob("*.woken"))


def a_minute_later(local: LocalSagaflow) -> None:
    """Have it as if the last wake-up were longer ago."""
    for file in woken(local):
        file.write_text("0", encoding="utf-8")


def others(local: LocalSagaflow, run_id: str, project: Path) -> None:
    """Deliver the ending of a run of the project that nobody here has launched."""
    entry = Entry(f"{run_id}~1", run_id, "hello-world", "DONE", "hello, you", records.now(), "", str(project))
    inbox.deliver(local.settings.home, entry)


SCRIPT = (
    *(rule for number in range(1, 5) for rule in (greeting(f"greet-{number}"), launch(f"greet-{number}"))),
    Rule(match="Look at it", tools=(ToolUse(name=f"{PREFIX}list_inbox"),), hold="the turn", times=1),
    Rule(match='"entries"', reply="It has looked."),
    Rule(match=r"run (greet-\d): hello", reply="Heard of ${1}."),
    Rule(match=r"Say (\w+)", reply="It says ${1}."),
    Rule(match=r"(greet-\d)", reply="It is launched: ${1}."),
)
"""What the model answers: it launches what it is told to begin, and tells what it hears."""


@both
def test_an_idle_terminal_is_woken_once(claude_code: ClaudeCode, sagaflow: LocalSagaflow) -> None:
    """With the text of the entry, and by its own runs alone.

    Nothing is doubled or lost over `/clear`, kill -9 and `--continue`, and no process is left behind.
    """
    sagaflow.model.add(*SCRIPT)
    elsewhere = claude_code.user / "elsewhere"
    elsewhere.mkdir()
    # Older versions have their first prompt answered before the server is there.
    with claude_code.terminal("Say pear", sagaflow) as seen:
        seen.wait_for("It says pear.")
        says(seen, "Begin greet-1", "It is launched: greet-1.")
        eventually(lambda: waits(claude_code), "a hook that waits")
        sagaflow.model.release("greet-1")
        seen.wait_for("Heard of greet-1.")
        others(sagaflow, "theirs-1", claude_code.project)
        says(seen, "Say apple", "It says apple.")
        assert told(sagaflow, "Say apple") == {"greet-1": 1, "theirs-1": 1}

        # A cleared conversation has forgotten it, and hears it anew.
        seen.type("/clear")
        seen.press_away(ENTER, "It says apple.")
        says(seen, "Begin greet-2", "It is launched: greet-2.")
        assert told(sagaflow, "Begin greet-2") == {"greet-1": 1, "theirs-1": 1}
        eventually(lambda: waits(claude_code), "a hook that waits")
        seen.process.kill()
    eventually(lambda: not ours(claude_code), "the end of all that was left")

    with (
        claude_code.terminal("Say plum", sagaflow, "--continue") as seen,
        claude_code.terminal("Say fig", sagaflow, project=elsewhere) as other,
    ):
        for each, shown in ((seen, "It says plum."), (other, "It says fig.")):
            each.wait_for(shown)
        eventually(lambda: waits(claude_code), "a hook that waits")
        sagaflow.model.release("greet-2")
        seen.wait_for("Heard of greet-2.")
        assert told(sagaflow, "Say plum") == {"greet-1": 1, "theirs-1": 1, "greet-2": 1}
        says(seen, "Begin greet-3", "It is launched: greet-3.")
        says(seen, "Begin greet-4", "It is launched: greet-4.")

        # What comes while it works comes with that turn; afterwards it is waited for what comes next.
        a_minute_later(sagaflow)
        seen.type("Look at it")
        seen.wait_for("Look at it")
        seen.press_away(ENTER, "\u276f\xa0Look at it")
        sagaflow.model.release("greet-3")
        # Another hook may wait by then, for greet-4: the one that comes with a prompt, where it is slow to start.
        eventually(lambda: any(file.read_text(encoding="utf-8") != "0" for file in woken(sagaflow)), "the wake-up", 60)
        sagaflow.model.release("the turn")
        seen.wait_for("It has looked.")
        eventually(lambda: told(sagaflow, "Look at it")["greet-3"], "the news")
        eventually(lambda: waits(claude_code), "a hook that waits")
        assert told(sagaflow, "Look at it")["greet-3"] == 1
        ends(seen)
        ends(other)
        # It was never woken.
        assert len(asked(sagaflow, "Say fig")) == 1
    eventually(lambda: not ours(claude_code), "the end of all that was left")


@both
def test_without_a_terminal_the_next_prompt_tells_and_nothing_is_held_up(
    claude_code: ClaudeCode, sagaflow: LocalSagaflow
) -> None:
    """A session ends although its run is open; with each live way off, the next prompt tells what came, once."""
    sagaflow.model.add(*SCRIPT)
    ended = claude_code.session("Begin greet-1", sagaflow)
    assert ended.event(type="result")["result"] == "It is launched: greet-1."
    assert markers.exists(sagaflow.settings.home, "greet-1")
    assert not ours(claude_code)
    with claude_code.live(sagaflow, SAGAFLOW_INBOX_WAKE="0", SAGAFLOW_INBOX_MESSAGE="0") as live:
        live.say("Begin greet-2", "It is launched: greet-2.")
        sagaflow.model.release("greet-2")
        sagaflow.wait("greet-2")
        live.say("Say apple", "It says apple.")
        live.say("Say plum", "It says plum.")
        assert told(sagaflow, "Say plum") == {"greet-2": 1}
        assert len(live.replies) == 3


@pytest.mark.parametrize("each_claude", [tools.CLAUDE_CODE], indirect=True, ids=["2.1.330"])
def test_a_live_session_without_a_terminal_gets_a_message(claude_code: ClaudeCode, sagaflow: LocalSagaflow) -> None:
    """Where Claude Code offers a socket for that; the next prompt does not tell it again."""
    sagaflow.model.add(*SCRIPT)
    with claude_code.live(sagaflow) as live:
        live.say("Begin greet-1", "It is launched: greet-1.")
        sagaflow.model.release("greet-1")
        live.hear("Heard of greet-1.")
        live.say("Say plum", "It says plum.")
        assert told(sagaflow, "Say plum") == {"greet-1": 1}
        assert len(live.replies) == 3
