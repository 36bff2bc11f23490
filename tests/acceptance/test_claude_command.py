"""The real `claude` command as the transport of a run that was launched without a key."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sagaflow_mcp import launch
from sagaflow_mcp.credentials import NAMES, claude_in
from sagaflow_mcp.models import IncompleteReply, ModelReply, ModelRequest, verdict
from sagaflow_mcp.models._claude_command import ClaudeCommand
from sagaflow_mcp.settings import Settings
from sagaflow_mcp.testing import Error, LocalSagaflow, OfflineMessagesApi, Rule
from tests.acceptance import tools
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    """A login that is in Claude Code's own settings and nowhere else."""
    config = folder / "claude-config"
    config.mkdir()
    config.joinpath("settings.json").write_text(json.dumps({"env": api.environment()}), encoding="utf-8")
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


def test_a_command_that_cannot_run_ends_the_step(tmp_path: Path) -> None:
    """It would not run the next time either."""
    with pytest.raises(Exception, match="it cannot be run") as raised:
        complete({"SAGAFLOW_CLAUDE": str(tmp_path / "gone")}, tmp_path, "Greet alice")
    assert not verdict(raised.value).retryable


def test_a_killed_worker_leaves_no_command_and_its_session_goes_on(claude: Path) -> None:
    """hello-world, launched with a login and no key; the next attempt resumes the session of the first."""
    with LocalSagaflow() as local:
        local.model.add(Rule(match="alice", reply=GREETING, hold="answer"))
        environ = {name: value for name, value in local.environment().items() if name not in NAMES}
        access = logged_in(local.model, claude, local.folder)
        local.settings = Settings.load({**environ, **access})
        request = launch.Request("hello-world", {"name": "alice"})
        run_id = anyio.run(launch.launch, local.settings, request).run_id
        local.model.wait_for_requests(1, seconds=30)
        before = commands(run_id, local)
        os.kill(local.pid("worker"), signal.SIGKILL)
        eventually(lambda: not any(alive(pid) for pid in before))
        local.model.wait_for_requests(2, seconds=30)
        local.model.release("answer")
        run = local.wait(run_id)
        assert run.state == "DONE", run.summary
        assert "hello, alice" in str(run.result)
        first, second = (json.loads(each.body["metadata"]["user_id"])["session_id"] for each in local.model.requests)
        assert first == second
        assert commands(run_id, local) == []


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
