"""The MCP server over stdio, with the real client, in both generations of the protocol."""

from __future__ import annotations

import json
import os
import re
import signal
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp_types import CallToolResult, TextContent, TextResourceContents

from sagaflow_mcp import engine_client, inbox, records, runs
from sagaflow_mcp.records import Entry
from sagaflow_mcp.testing import LocalSagaflow, Rule, ToolUse
from tests import waiting
from tests.acceptance import tools

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sagaflow_mcp.paths import Home

pytestmark = pytest.mark.anyio

SERVER = str(tools.COMMANDS / "sagaflow-mcp")
LAUNCHER = ("sh", str(tools.ROOT / "sagaflow_mcp" / "front.sh"))
SESSION = "5e55-1"
LIMIT = 90
"""Seconds that one test may take."""

ALICE = Rule(match="Please greet alice", reply="STRUCTURED_OUTPUT_START\nGREETING|hello, alice\nSTRUCTURED_OUTPUT_END")


@pytest.fixture(scope="module")
def local() -> Iterator[LocalSagaflow]:
    """A Sagaflow for all tests here, whose model greets alice."""
    with LocalSagaflow() as started:
        started.model.add(ALICE)
        yield started


@pytest.fixture(scope="module", params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    """How the client finds out which protocol to speak."""
    return str(request.param)


def connection(local: LocalSagaflow, mode: str, cwd: Path | None = None) -> Client:
    """A client of a server of its own, on its way."""
    session = {"CLAUDE_CODE_SESSION_ID": SESSION}
    started = StdioServerParameters(command=SERVER, env={**local.environment(), **session}, cwd=cwd)
    return Client(started, mode=mode, read_timeout_seconds=LIMIT)


@pytest.fixture(scope="module")
def project(mode: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the session that all tests share."""
    return tmp_path_factory.mktemp(mode)


@pytest.fixture(scope="module")
async def client(local: LocalSagaflow, mode: str, project: Path) -> AsyncIterator[Client]:
    """That session: one server for all tests that do not end it."""
    async with connection(local, mode, project) as connected:
        yield connected


async def answer(client: Client, tool: str, **arguments: Any) -> Any:
    """What `tool` answers: its structured content, or its text where it has none."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result
    return result.structured_content or text(result)


def text(result: CallToolResult) -> str:
    """The text of a result."""
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


async def page(client: Client, uri: str) -> str:
    """The text of a resource."""
    (content,) = (await client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    return content.text


async def test_a_run_is_launched_waited_for_and_dismissed(
    local: LocalSagaflow, mode: str, client: Client, project: Path
) -> None:
    """One session from launch to dismissal, with progress while it waits."""
    inbox.dismiss(local.settings.home, None)
    name, heard = f"bea-{mode}", []
    reply = f"STRUCTURED_OUTPUT_START\nGREETING|hello, {name}\nSTRUCTURED_OUTPUT_END"
    local.model.add(Rule(match=f"Please greet {name}", reply=reply, hold=name))

    async def hear(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001 - As it is called.
        """Keep what a progress bar would show, and let the model answer once there is something."""
        heard.append(message or "")
        local.model.release(name)

    with anyio.fail_after(LIMIT):
        launched = await client.call_tool(
            "launch_workflow",
            {"skill": "hello-world", "args": {"name": name}, "wait_seconds": 60},
            progress_callback=hear,
        )
        assert launched.structured_content is not None
        run_id = launched.structured_content["run_id"]
        assert launched.structured_content["state"] == "DONE"
        assert launched.structured_content["detail"] == f"hello, {name}"
        assert all(re.match(r"\d+ steps? done", message) for message in heard)
        assert heard

        found = await answer(client, "get_run", run_id=run_id)
        assert {**found, "detail": ""} == {**launched.structured_content, "detail": ""}
        assert f"ended    hello, {name}\n" in found["detail"]
        assert "  greeter  1 of 1 done, " in found["detail"]
        # What the session was told here, no hook tells it again.
        told = inbox.claimed(local.settings.home, SESSION)
        assert [each.partition("~")[0] for each in told].count(run_id) == 1
        listed = await answer(client, "list_inbox")
        assert listed["unread"] == 1
        (entry,) = listed["entries"]
        assert (entry["run_id"], entry["status"], entry["summary"]) == (run_id, "DONE", f"hello, {name}")
        assert entry["project"] == str(project)
        assert run_id in await answer(client, "list_runs", status="done")
        assert run_id not in await answer(client, "list_runs", status="failed")

        assert run_id in await page(client, "sagaflow://inbox")
        assert f"hello, {name}" in await page(client, f"sagaflow://runs/{run_id}/report")

        assert await answer(client, "dismiss", run_ids=[run_id]) == f"dismissed 1: {run_id}"
        assert (await answer(client, "list_inbox"))["unread"] == 0
        assert len((await answer(client, "list_inbox", include_dismissed=True))["entries"]) >= 1
        assert await page(client, "sagaflow://inbox") == "The inbox is empty."


def fill_the_inbox(home: Home, name: str) -> list[str]:
    """The ids, oldest first, of the only unread entries: one more than the page and the resource show."""
    inbox.dismiss(home, None)
    started = datetime(2030, 1, 31, tzinfo=UTC).timestamp()
    ids = [f"{name}-{n:03}~1" for n in range(inbox.PAGE_LIMIT + 1)]
    for n, entry_id in enumerate(ids):
        entry = Entry(entry_id, entry_id[:-2], "hello", "DONE", "hello", records.moment(started + n))
        path = Path(home.inbox, "new", f"{entry_id}.json")
        path.write_text(entry.to_json(), encoding="utf-8")
        os.utime(path, (started + n, started + n))
    return ids


async def test_what_the_inbox_has_shown_a_session_is_not_told_to_it_again(
    local: LocalSagaflow, mode: str, client: Client
) -> None:
    """What `list_inbox` and the resource name counts as told; what they have no room for does not."""
    home = local.settings.home
    before = inbox.claimed(home, SESSION)
    ids = fill_the_inbox(home, f"listed-{mode}")
    listed = await answer(client, "list_inbox", limit=2)
    assert [each["run_id"] for each in listed["entries"]] == [each[:-2] for each in (ids[-1], ids[-2])]
    assert inbox.claimed(home, SESSION) - before == set(ids[-2:])
    lines = (await page(client, "sagaflow://inbox")).splitlines()
    assert (len(lines), lines[-1]) == (inbox.PAGE_LIMIT + 1, "- and 1 older; dismiss what the user knows")
    assert inbox.claimed(home, SESSION) - before == set(ids[1:])
    inbox.dismiss(home, None)


async def test_a_task_is_done_without_a_skill(local: LocalSagaflow, mode: str, client: Client, project: Path) -> None:
    """In the folder of the session; a second launch under the same id attaches to the run."""
    write = ToolUse(name="write_file", input={"path": "note.txt", "content": "noted"})
    local.model.add(
        Rule(match="Write a note", tools=(write,)), Rule(match="wrote 5 characters", reply="The note is written.")
    )
    given = {"task": "Write a note.", "run_id": f"note-{mode}", "wait_seconds": 60}
    with anyio.fail_after(LIMIT):
        found = await answer(client, "launch_workflow", **given)
        assert (found["run_id"], found["state"]) == (given["run_id"], "DONE")
        assert found["detail"] == "The note is written."
        assert await answer(client, "launch_workflow", skill="", **given) == found
        assert "The note is written." in await page(client, f"sagaflow://runs/{given['run_id']}/report")
        assert "task  [bundled]" in await answer(client, "list_skills")
    assert (project / "note.txt").read_text(encoding="utf-8") == "noted"


async def test_the_skills_and_the_checks_are_shown(client: Client) -> None:
    """Also the argument schema of one skill."""
    with anyio.fail_after(LIMIT):
        assert "hello-world  [bundled]" in await answer(client, "list_skills")
        assert "Who is greeted." in await answer(client, "list_skills", name="hello-world")
        checks = (await answer(client, "doctor")).splitlines()
        assert checks[0].startswith("[ok] version: ")
        assert not [line for line in checks if line.startswith("[fail]")]


async def test_a_schedule_is_made_seen_and_ended(client: Client) -> None:
    """With the tool that launches; the list of runs shows it."""
    with anyio.fail_after(LIMIT):
        given = {"skill": "hello-world", "args": {"name": "alice"}, "run_id": "mornings"}
        made = await answer(client, "launch_workflow", schedule="0 7 * * MON-FRI Europe/Berlin", **given)
        assert (made["run_id"], made["state"]) == ("mornings", "SCHEDULED")
        assert "hello-world (name=alice) at '0 7 * * MON-FRI' Europe/Berlin" in made["detail"]
        assert "due next at " in made["detail"]
        assert "schedule mornings: active, hello-world" in await answer(client, "list_runs")
        refused = await client.call_tool("launch_workflow", {"schedule": "7", "skill": "hello-world"})
        assert "'7' in 'UTC' is no time for a schedule" in text(refused)
        ended = await answer(client, "launch_workflow", schedule="remove", run_id="mornings")
        assert ended["state"] == "REMOVED"
        assert "mornings" not in await answer(client, "list_runs")


async def test_what_every_session_pays_for_is_short(client: Client) -> None:
    """Tool schemas and instructions are part of the context of each conversation."""
    with anyio.fail_after(LIMIT):
        listed = await client.list_tools()
        instructions = client.instructions or ""
        templates = await client.list_resource_templates()
        resources = await client.list_resources()
    whole = json.dumps(listed.model_dump(mode="json", by_alias=True, exclude_none=True), ensure_ascii=False)
    assert len(whole) <= 6000
    assert 0 < len(instructions) <= 2000
    assert {tool.name for tool in listed.tools} == {
        "launch_workflow",
        "list_inbox",
        "dismiss",
        "doctor",
        "get_run",
        "list_skills",
        "list_runs",
        "control_run",
    }
    assert all(tool.description and tool.annotations for tool in listed.tools)
    assert [str(each.uri) for each in resources.resources] == ["sagaflow://inbox"]
    assert [each.uri_template for each in templates.resource_templates] == ["sagaflow://runs/{run_id}/report"]


BAD_ARGUMENTS: list[tuple[str, dict[str, Any], str]] = [
    ("launch_workflow", {"skill": "hello-wrld"}, "'hello-world'"),
    ("launch_workflow", {"skill": "../hello-world"}, "'../hello-world'"),
    ("launch_workflow", {"skill": "hello-world", "args": {"nam": "alice"}}, "did you mean 'name'?"),
    ("launch_workflow", {"skill": "hello-world", "args": {"name": 7}}, "argument 'name' of skill 'hello-world' is 7"),
    ("launch_workflow", {}, "give either skill or task, and not both"),
    ("launch_workflow", {"skill": "", "task": ""}, "give either skill or task, and not both"),
    ("launch_workflow", {"skill": "hello-world", "task": "Greet."}, "give either skill or task, and not both"),
    ("launch_workflow", {"task": " \n"}, "task is blank; say what is to be done"),
    ("launch_workflow", {"task": ["Greet."]}, "valid string"),
    ("launch_workflow", {"task": "Greet.", "args": {"name": "alice"}}, "args go with skill, and not with task"),
    ("launch_workflow", {"task": "Greet.", "run_id": "../up"}, "'../up'"),
    ("launch_workflow", {"skill": "hello-world", "run_id": "../up"}, "'../up'"),
    ("launch_workflow", {"skill": "hello-world", "wait_seconds": -1}, "greater than or equal to 0"),
    ("get_run", {"run_id": "no-such-run"}, "there is no run 'no-such-run'"),
    ("get_run", {"run_id": "../../inbox"}, "there is no run '../../inbox'"),
    ("get_run", {}, "argument 'run_id' is missing"),
    ("get_run", {"run_id": ["a"] * 1000}, "valid string"),
    ("launch_workflow", {"skill": "hello-world", "arguments": {}}, "unknown argument 'arguments'"),
    ("launch_workflow", {"skill": "hello-world", "args": "alice"}, "valid dictionary"),
    ("dismiss", {}, "give either run_ids or all=true"),
    ("get_run", {"\x1b[31m</x>" * 10_000: 1}, "unknown argument"),
    ("list_runs", {"status": "ready"}, "'ready' is not one of"),
    ("list_runs", {"status": "\x1b[31m</x>" * 10_000}, "is not one of"),
    ("list_inbox", {"limit": 0}, "greater than or equal to 1"),
    ("list_skills", {"name": "nothing"}, "'nothing'"),
    ("control_run", {"run_id": "no-such-run", "action": "answer", "answer": "yes"}, "there is no run 'no-such-run'"),
    ("control_run", {"run_id": "no-such-run", "action": "explode", "answer": "yes"}, "argument 'action' is 'explode'"),
]


async def test_a_bad_argument_is_answered_in_one_sentence(local: LocalSagaflow, client: Client) -> None:
    """No trace, no shell command, and nothing has been started."""
    before = runs.listing(local.settings.home, limit=100)
    with anyio.fail_after(LIMIT):
        for tool, arguments, said in BAD_ARGUMENTS:
            result = await client.call_tool(tool, arguments)
            assert result.is_error, (tool, arguments)
            answered = text(result)
            assert said in answered
            assert len(answered) < 500
            assert answered.isprintable()
            assert not set("<>") & set(answered)
            assert "`sagaflow" not in answered
        with pytest.raises(MCPError, match="there is no run 'no-such-run'"):
            await client.read_resource("sagaflow://runs/no-such-run/report")
    assert runs.listing(local.settings.home, limit=100) == before


async def test_a_launch_without_a_key_says_what_a_session_can_do(mode: str) -> None:
    """It cannot be given a key while it is running."""
    with LocalSagaflow() as own:
        without = {name: value for name, value in own.environment().items() if not name.startswith("ANTHROPIC_")}
        started = StdioServerParameters(command=SERVER, env=without)
        with anyio.fail_after(LIMIT):
            async with Client(started, mode=mode, read_timeout_seconds=LIMIT) as client:
                result = await client.call_tool("launch_workflow", {"skill": "hello-world"})
    assert result.is_error
    assert "there is no access to one: end this session" in text(result)
    assert "launch again" not in text(result)


async def test_a_run_goes_on_when_the_worker_is_killed_while_the_server_waits(
    local: LocalSagaflow, mode: str, client: Client
) -> None:
    """The waiting call answers with the ending, as if nothing had been."""
    reply = f"STRUCTURED_OUTPUT_START\nGREETING|hello, {mode}\nSTRUCTURED_OUTPUT_END"
    local.model.add(Rule(match=f"Please greet {mode}", reply=reply, hold=mode))
    calls = len(local.model.requests)

    def kill() -> None:
        """End the worker during its first call, and wait for the second."""
        local.model.wait_for_requests(calls + 1, seconds=LIMIT)
        os.kill(local.pid("worker"), signal.SIGKILL)
        local.model.wait_for_requests(calls + 2, seconds=LIMIT)
        local.model.release(mode)

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, kill)
            found = await answer(client, "launch_workflow", skill="hello-world", args={"name": mode}, wait_seconds=80)
    assert (found["state"], found["detail"]) == ("DONE", f"hello, {mode}")
    assert len(local.inbox(found["run_id"])) == 1


async def test_a_session_in_a_folder_that_is_gone_can_launch(local: LocalSagaflow, mode: str, tmp_path: Path) -> None:
    """The run then belongs to no project."""
    folder = tmp_path / "gone"
    folder.mkdir()
    with anyio.fail_after(LIMIT):
        async with connection(local, mode, folder) as client:
            folder.rmdir()
            launched = await answer(client, "launch_workflow", skill="hello-world", args={"name": "alice"})
        run = await anyio.to_thread.run_sync(local.wait, launched["run_id"])
    assert (run.state, run.project_dir) == ("DONE", "")


async def test_a_run_outlives_the_server_that_launched_it(local: LocalSagaflow, mode: str) -> None:
    """The client goes as soon as the run is accepted."""
    with anyio.fail_after(LIMIT):
        async with connection(local, mode) as client:
            launched = await answer(client, "launch_workflow", skill="hello-world", args={"name": "alice"})
        run = await anyio.to_thread.run_sync(local.wait, launched["run_id"])
    assert (run.state, run.result) == ("DONE", "hello, alice")


async def test_the_server_ends_with_its_standard_input_and_leaves_the_engine(local: LocalSagaflow) -> None:
    """Nobody has to kill it, and it says nothing that is not the protocol."""
    run_id = await anyio.to_thread.run_sync(partial(local.launch, "hello-world", name="alice"))
    await anyio.to_thread.run_sync(local.wait, run_id)
    engine = local.pid("engine")
    with anyio.fail_after(LIMIT):
        server = await anyio.run_process([SERVER], env=local.environment(), input=b"", check=False)
    assert (server.returncode, server.stdout, server.stderr) == (0, b"", b"")
    assert local.pid("engine") == engine


@pytest.mark.parametrize(
    ("command", "mode"),
    [pytest.param((SERVER,), "auto", marks=pytest.mark.long), (LAUNCHER, "legacy")],
    ids=["server", "launcher"],
)
async def test_a_session_after_a_reboot_lets_open_runs_go_on(command: tuple[str, ...], mode: str) -> None:
    """The home is all that is left: the server that a session starts brings the engine back, with no call made."""
    with LocalSagaflow() as own:
        own.model.add(replace(ALICE, hold="reboot"))
        run_id = await anyio.to_thread.run_sync(partial(own.launch, "hello-world", name="alice"))
        await anyio.to_thread.run_sync(partial(own.model.wait_for_requests, 1, seconds=LIMIT))
        await anyio.to_thread.run_sync(engine_client.stop, own.settings.home)
        own.model.release("reboot")
        environ = {**own.environment(), **tools.INSTALLED}
        started = StdioServerParameters(command=command[0], args=list(command[1:]), env=environ)
        async with Client(started, mode=mode, read_timeout_seconds=LIMIT):
            await anyio.to_thread.run_sync(waiting.eventually, lambda: own.inbox(run_id))
        assert [entry.summary for entry in own.inbox(run_id)] == ["hello, alice"]
