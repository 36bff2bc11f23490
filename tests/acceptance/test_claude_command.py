"""The real `claude` command as the transport of a run that was launched without a key."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sagaflow_mcp import agent_tools, artifacts, launch
from sagaflow_mcp.credentials import NAMES, claude_in
from sagaflow_mcp.models import IncompleteReply, ModelReply, ModelRequest, verdict
from sagaflow_mcp.models._claude_command import ClaudeCommand
from sagaflow_mcp.settings import Settings
from sagaflow_mcp.testing import Error, LocalSagaflow, OfflineMessagesApi, Rule, ToolUse
from tests.acceptance import tools
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sagaflow_mcp.testing import Recorded

GREETING = "STRUCTURED_OUTPUT_START\nGREETING|hello, alice\nSTRUCTURED_OUTPUT_END"
SESSION = "3c2a9a5e-3d0b-4f0e-9c55-0d8b3f6f1a11"


@pytest.fixture
def api() -> Iterator[OfflineMessagesApi]:
    """The model that the command is logged in to."""
    with OfflineMessagesApi() as started:
        yield started


@pytest.fixture
def access(api: OfflineMessagesApi, claude: Path, tmp_path: Path) -> dict[str, str]:
    """What the environment of a user with a login has."""
    return logged_in(api, claude, tmp_path)


def logged_in(api: OfflineMessagesApi, claude: Path, folder: Path) -> dict[str, str]:
    """A login that is in Claude Code's own settings and nowhere else, beside a hook and a server that leave a trace."""
    config = folder / "claude-config"
    config.mkdir(exist_ok=True)
    hook = {"type": "command", "command": f"touch {folder}/hook-was-here"}
    settings = {"env": api.environment(), "hooks": {"SessionStart": [{"hooks": [hook]}]}}
    config.joinpath("settings.json").write_text(json.dumps(settings), encoding="utf-8")
    server = {"command": "touch", "args": [f"{folder}/server-was-here"]}
    config.joinpath(".claude.json").write_text(json.dumps({"mcpServers": {"other": server}}), encoding="utf-8")
    environ = {"PATH": tools.path(claude), "HOME": str(folder), "CLAUDE_CONFIG_DIR": str(config)}
    return claude_in(environ)


def complete(access: dict[str, str], folder: Path, user: str, **fields: Any) -> ModelReply:
    """The reply of one call."""

    async def call() -> ModelReply:
        """Make it."""
        request = ModelRequest(
            **{
                "tier": "HAIKU",
                "system": "You are a greeter.",
                "user": user,
                "max_tokens": 200,
                "session": SESSION,
                "folder": str(folder),
                **fields,
            }
        )
        return await ClaudeCommand().complete(request, credentials=access)

    return anyio.run(call)


def test_a_reply_comes_with_its_tokens(api: OfflineMessagesApi, access: dict[str, str], tmp_path: Path) -> None:
    """The skill's system prompt and user prompt reach the model, and no tool does."""
    api.add(Rule(match="Greet", reply="hello, alice", usage={"input_tokens": 11, "output_tokens": 7}))
    reply = complete(access, tmp_path, "Greet alice")
    assert reply.text == "hello, alice"
    assert (reply.input_tokens, reply.output_tokens, reply.stop_reason) == (11, 7, "end_turn")
    (request,) = api.requests
    assert "You are a greeter." in json.dumps(request.body["system"])
    assert not request.body.get("tools")


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (Error(status=401, type="authentication_error", message="for a reason"), False),
        (Error(status=429, type="rate_limit_error", message="for a reason"), True),
        (Error(status=529, type="overloaded_error", message="for a reason"), True),
    ],
    ids=["401", "429", "529"],
)
def test_a_failure_has_its_verdict(
    api: OfflineMessagesApi, access: dict[str, str], tmp_path: Path, error: Error, retryable: bool
) -> None:
    """What the provider refuses ends the step or is tried again, by Temporal alone."""
    api.add(Rule(error=error))
    with pytest.raises(Exception, match="for a reason") as raised:
        complete(access, tmp_path, "Greet alice")
    found = verdict(raised.value)
    assert found.retryable is retryable
    assert "the claude command failed: " in found.sentence
    assert len(api.requests) == 1


def test_without_a_login_the_way_out_is_named(claude: Path, tmp_path: Path) -> None:
    """Trying again would not help."""
    access = claude_in({"PATH": tools.path(claude), "HOME": str(tmp_path)})
    with pytest.raises(Exception, match="Not logged in") as raised:
        complete(access, tmp_path, "Greet alice")
    found = verdict(raised.value)
    assert not found.retryable
    assert found.sentence.endswith("run `claude` and log in, or set ANTHROPIC_API_KEY")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 0", "it said nothing"),
        ("echo no such luck >&2; exit 1", "no such luck"),
        ("kill -9 $$", "without a reply"),
    ],
)
def test_a_command_that_ends_early_is_tried_again(tmp_path: Path, script: str, words: str) -> None:
    """Its last words are the reason."""
    program = tmp_path / "claude"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    with pytest.raises(IncompleteReply, match=words) as raised:
        complete({"SAGAFLOW_CLAUDE": str(program)}, tmp_path, "Greet alice")
    assert verdict(raised.value).retryable


def test_what_a_command_leaves_running_holds_up_nothing(tmp_path: Path) -> None:
    """Although it still has the command's standard error."""
    result = json.dumps({"type": "result", "stop_reason": "end_turn", "session_id": SESSION})
    claude = tmp_path / "claude"
    claude.write_text(f"#!/bin/sh\nsleep 600 >/dev/null &\necho '{result}'\n", encoding="utf-8")
    claude.chmod(0o755)
    assert complete({"SAGAFLOW_CLAUDE": str(claude)}, tmp_path, "Greet alice").stop_reason == "end_turn"


def test_a_command_that_cannot_run_ends_the_step(tmp_path: Path) -> None:
    """It would not run the next time either."""
    with pytest.raises(Exception, match="it cannot be run") as raised:
        complete({"SAGAFLOW_CLAUDE": str(tmp_path / "gone")}, tmp_path, "Greet alice")
    assert not verdict(raised.value).retryable


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSagaflow]:
    """A Sagaflow with a skill whose agent writes files."""
    skill = tmp_path_factory.mktemp("skills") / "writer"
    skill.mkdir()
    skill.joinpath("SKILL.md").write_text("---\nallowed-tools: Glob, Write\n---\nWrite both.", encoding="utf-8")
    with LocalSagaflow(skills=[skill.parent]) as started:
        yield started


def launched(local: LocalSagaflow, claude: Path, folder: Path, skill: str, **arguments: str) -> str:
    """The id of a run that was launched with a login and no key."""
    environ = {name: value for name, value in local.environment().items() if name not in NAMES}
    local.settings = Settings.load({**environ, **logged_in(local.model, claude, local.folder)})
    request = launch.Request(skill, arguments, project_dir=str(folder))
    return anyio.run(launch.launch, local.settings, request).run_id


def sessions(requests: Sequence[Recorded]) -> set[str]:
    """The ids of the sessions in which they were made."""
    return {str(json.loads(each.body["metadata"]["user_id"])["session_id"]) for each in requests}


def test_a_killed_worker_leaves_no_command_and_its_session_goes_on(
    local: LocalSagaflow, claude: Path, tmp_path: Path
) -> None:
    """hello-world, launched with a login and no key; the next attempt resumes the session of the first."""
    local.model.replace(Rule(match="alice", reply=GREETING, hold="answer"))
    run_id = launched(local, claude, tmp_path, "hello-world", name="alice")
    local.model.wait_for_requests(1, seconds=30)
    before = commands(run_id, local)
    os.kill(local.pid("worker"), signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in before))
    local.model.wait_for_requests(2, seconds=30)
    local.model.release("answer")
    run = local.wait(run_id)
    assert run.state == "DONE", run.summary
    assert "hello, alice" in str(run.result)
    assert len(sessions(local.model.requests)) == 1
    assert commands(run_id, local) == []


def test_an_agent_works_on_a_login_through_a_killed_worker(
    local: LocalSagaflow, each_claude: Path, tmp_path: Path
) -> None:
    """One session, in which the turn that was cut off stands once; no call is made twice, nothing is left running."""
    gate = each_claude.parents[1].name
    local.model.replace(
        Rule(match="to b.txt", reply="Both are written."),
        Rule(match="to a.txt", tools=(call("write_file", path="b.txt", content="b"),), hold=gate),
        Rule(match="Write both", reply="Let me see.", tools=(call("glob", pattern="*"), call("write_file", **A_FILE))),
    )
    since = len(local.model.requests)
    run_id = launched(local, each_claude, tmp_path, "writer")
    first, cut_off = local.model.wait_for_requests(since + 2, seconds=30)[since:]
    before = commands(run_id, local)
    os.kill(local.pid("worker"), signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in before))
    again = local.model.wait_for_requests(since + 3, seconds=30)[-1]
    local.model.release(gate)
    run = local.wait(run_id)
    assert (run.state, run.result) == ("DONE", "Both are written."), run.summary
    assert [(tmp_path / name).read_text(encoding="utf-8") for name in ("a.txt", "b.txt")] == ["a", "b"]
    assert said(again) == said(cut_off)
    assert [role for role, _ in said(again)] == ["user", "assistant", "user"]
    assert sessions(local.model.requests[since:]) == sessions([first])
    assert len(local.model.requests) == since + 4
    finished = [each["label"] for each in artifacts.events(Path(run.run_dir)) if each["event"] == "step_finished"]
    assert [finished.count(each) for each in ("glob", "write_file")] == [1, 2]
    assert run.progress.input_tokens
    assert run.progress.cost_usd
    assert commands(run_id, local) == []
    assert not list(local.folder.glob("*-was-here")), "no hook and no server of the user's takes part"


def call(name: str, **given: str) -> ToolUse:
    """A tool call of the model's, which the double writes in words where that was asked of it."""
    return ToolUse(name=name, input=given)


A_FILE = {"path": "a.txt", "content": "a"}


def said(request: Recorded) -> list[tuple[str, str]]:
    """What user and model have said in a request, without what the command adds."""
    found = []
    for each in request.body["messages"]:
        content = each["content"]
        texts = [content] if isinstance(content, str) else [block["text"] for block in content]
        own = [text.strip() for text in texts if not text.startswith("<system-reminder>")]
        if each["role"] != "system":
            found.append((each["role"], "\n".join(own)))
    return found


def test_a_first_turn_that_was_cut_off_is_taken_up_again(
    api: OfflineMessagesApi, each_claude: Path, tmp_path: Path
) -> None:
    """In the same session, in which the task stands once; where that cannot be, in another one."""
    access = logged_in(api, each_claude, tmp_path)
    api.add(Rule(match="task", reply="done", hold="answer"))

    async def cut_off() -> None:
        """Make the call, and end it once the session has what was asked."""
        call = asyncio.create_task(turn())
        await asyncio.to_thread(
            eventually, lambda: any("the task" in each.read_text(encoding="utf-8") for each in files())
        )
        call.cancel()
        await asyncio.wait([call])

    def files() -> list[Path]:
        """Those of the sessions."""
        return list(tmp_path.glob("claude-config/projects/*/*.jsonl"))

    async def turn() -> ModelReply:
        """Have the first turn taken."""
        return await talked(access, tmp_path, [TASK])

    anyio.run(cut_off)
    api.release("answer")
    assert anyio.run(turn).content == [{"type": "text", "text": "done"}]
    first, again = api.requests
    assert sessions([first]) == sessions([again]) == {SESSION}
    assert json.dumps(again.body["messages"]).count("the task") == 1
    (file,) = files()
    file.write_text("".join(file.read_text(encoding="utf-8").splitlines(keepends=True)[:2]), encoding="utf-8")
    assert anyio.run(turn).text == "done"
    assert len(sessions(api.requests)) == 2


def test_a_conversation_goes_on_where_its_session_is_gone(
    api: OfflineMessagesApi, access: dict[str, str], tmp_path: Path
) -> None:
    """As on another machine: all of it is told anew, and the next turn sends only what is new."""
    api.add(Rule(reply="go on", usage={"cache_read_input_tokens": 5, "cache_creation_input_tokens": 3}))
    elsewhere = {"session": SESSION, "message": SESSION, "cost_usd": 0.5}
    messages = [TASK, {"role": "assistant", "content": [{"type": "text", "text": "Hm."}]}, TASK]
    reply = anyio.run(lambda: talked(access, tmp_path, messages, elsewhere))
    messages += [{"role": "assistant", "content": reply.content}, {"role": "user", "content": "and then?"}]
    later = anyio.run(lambda: talked(access, tmp_path, messages, reply.place))
    first, second = (said(each) for each in api.requests)
    assert "Hm." in first[0][1]
    assert second == [*first, ("assistant", "go on"), ("user", "and then?")]
    assert (later.cache_read_tokens, later.cache_creation_tokens) == (5, 3)
    assert later.cost_usd
    assert reply.cost_usd
    assert later.cost_usd < 2 * reply.cost_usd, "each call has its own"


def test_a_turn_that_is_cut_off_is_no_failure(api: OfflineMessagesApi, access: dict[str, str], tmp_path: Path) -> None:
    """The agent goes on with it; what was withheld is declined."""
    api.add(Rule(match="cut", reply="piece ", stop_reason="max_tokens"), Rule(stop_reason="refusal", reply="psst"))
    reply = anyio.run(lambda: talked(access, tmp_path, [{"role": "user", "content": "cut"}]))
    assert reply.stop_reason == "max_tokens"
    assert reply.text.startswith("piece piece ")
    refused = anyio.run(lambda: talked(access, tmp_path, [TASK]))
    assert (refused.stop_reason, refused.text) == ("refusal", "")


TASK: dict[str, Any] = {"role": "user", "content": "the task"}


async def talked(
    access: dict[str, str], folder: Path, messages: Sequence[dict[str, Any]], place: Mapping[str, Any] | None = None
) -> ModelReply:
    """The reply to an agent's turn."""
    request = ModelRequest(
        *("HAIKU", "You work.", "", 200),
        messages=messages,
        tools=agent_tools.definitions(["glob"]),
        session=SESSION,
        folder=str(folder),
        place=place,
    )
    return await ClaudeCommand().complete(request, credentials=access)


def commands(run_id: str, local: LocalSagaflow) -> list[int]:
    """The `claude` processes that work in the run's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):  # It has ended meanwhile.
            if entry.name.isdigit() and str(entry.joinpath("cwd").readlink()) == local.settings.home.run(run_id):
                found.append(int(entry.name))
    return found


def alive(pid: int) -> bool:
    """Whether the process still runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
