"""The MCP server as the MCP Inspector sees it, by way of the plugin's launcher and by itself."""

from __future__ import annotations

import itertools
import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from sagaflow_mcp import runs
from sagaflow_mcp.testing import LocalSagaflow, Rule
from tests.acceptance import tools
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVERS = {
    "launcher": ("sh", str(tools.ROOT / "sagaflow_mcp" / "front.sh")),
    "server": (str(tools.COMMANDS / "sagaflow-mcp"),),
}
WAYS = [("launcher", "modern"), ("launcher", "legacy"), ("server", "modern"), ("server", "legacy")]
"""Each server in each generation of the protocol."""

RUN_ID = "greeting"
ASKING = "asking"
"""A run that asks something."""

CONCURRENTLY = 3
"""Inspectors at the same time: each takes a while to start."""

TOOL_CALLS: list[tuple[str, dict[str, Any], str]] = [
    ("launch_workflow", {"skill": "hello-world", "args": {"name": "alice"}, "run_id": RUN_ID}, "hello, alice"),
    ("list_inbox", {"include_dismissed": True, "limit": 5}, "hello, alice"),
    ("get_run", {"run_id": RUN_ID}, "hello, alice"),
    ("list_runs", {"status": "DONE"}, RUN_ID),
    ("list_skills", {"name": "hello-world"}, "Who is greeted."),
    ("dismiss", {"run_ids": [RUN_ID]}, RUN_ID),
    ("control_run", {"run_id": ASKING, "action": "answer", "answer": "yes"}, ASKING),
    ("doctor", {}, "[ok] worker: "),
]


class Inspect(Protocol):
    """The Inspector's command line."""

    def __call__(self, way: tuple[str, str], method: str, *options: str) -> dict[str, Any]:
        """The result of one method."""
        ...


@pytest.fixture(scope="module")
def local() -> Iterator[LocalSagaflow]:
    """A Sagaflow with one run that has ended."""
    with LocalSagaflow(skills=[tools.ROOT / "tests" / "integration" / "skills"]) as started:
        reply = "STRUCTURED_OUTPUT_START\nGREETING|hello, alice\nSTRUCTURED_OUTPUT_END"
        started.model.add(Rule(match="Please greet alice", reply=reply))
        started.wait(started.launch("hello-world", run_id=RUN_ID, name="alice"))
        yield started


@pytest.fixture(scope="module")
def environment(local: LocalSagaflow) -> dict[str, str]:
    """That of the Inspector's commands, with a place for the one of them that goes on running."""
    daemon = {
        "MCP_INSPECTOR_DAEMON_DIR": str(local.folder / "inspector"),
        "MCP_INSPECTOR_DAEMON_TOKEN": secrets.token_hex(),
    }
    return {**local.environment(), **tools.INSTALLED, **daemon, "PATH": tools.path()}


@pytest.fixture(scope="module")
def given(environment: dict[str, str]) -> list[str]:
    """The options that give a server what it needs to know."""
    ours = [
        f"{name}={value}"
        for name, value in environment.items()
        if name.startswith(("SAGAFLOW_", "ANTHROPIC_")) and value
    ]
    # Of milliseconds; its own 15 s are little where many other tests run.
    return ["--connect-timeout", "60000", *(word for each in ours for word in ("-e", each))]


@pytest.fixture(scope="module")
def inspect(environment: dict[str, str], given: list[str], inspector: Path) -> Inspect:
    """What the Inspector prints of one method's result, with a server for that alone."""
    program = inspector / "node_modules" / ".bin" / "mcp-inspector"

    def run(way: tuple[str, str], method: str, *options: str) -> dict[str, Any]:
        server, era = way
        words = ["--cli", *SERVERS[server], *given, "--method", method, *options, "--protocol-era", era]
        done = tools.run([str(program), *words, "--format", "json"], env=environment)
        found: dict[str, Any] = json.loads(done.stdout)["result"]
        return found

    return run


@pytest.fixture(scope="module")
def ask(environment: dict[str, str], given: list[str], inspector: Path) -> Iterator[Inspect]:
    """The same, of a server that the Inspector stays connected to: there is one for each of the ways."""
    program = inspector / "node_modules" / ".bin" / "mcpdo"

    def run(*words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            tools.run([str(program), "--format", "json", *words], env=environment).stdout
        )
        return found

    def asked(way: tuple[str, str], method: str, *options: str) -> dict[str, Any]:
        return run("--connection", "-".join(way), method, *options)

    try:
        for way in WAYS:
            server, era = way
            connected = asked(way, "connect", "--era", era, *given, "--", *SERVERS[server])
            assert connected["protocolEra"] == era
        yield asked
    finally:
        tools.run([str(program), "daemon", "stop"], env=environment)
        socket = Path(environment["MCP_INSPECTOR_DAEMON_DIR"], "mcpdod.sock")
        eventually(lambda: not socket.exists(), "the end of the Inspector")


def test_the_schemas_of_all_tools_are_portable(inspect: Inspect) -> None:
    """Strictly: whatever the Inspector has to say about a schema is a failure."""
    with ThreadPoolExecutor(CONCURRENTLY) as pool:
        found = list(pool.map(lambda way: inspect(way, "tools/list", "--strict"), WAYS))
    for listed in found:
        assert {tool["name"] for tool in listed["tools"]} == {name for name, _, _ in TOOL_CALLS}


def test_each_tool_answers(ask: Inspect, local: LocalSagaflow) -> None:
    """Each in one of the ways, in turn; a launch under the id of a run that is done answers with its result."""
    local.launch("one-function", what="ask", count=3600, run_id=ASKING)
    eventually(lambda: runs.get(local.settings.home, ASKING).questions, "the run asks")

    def call(way: tuple[str, str], tool: str, arguments: dict[str, Any]) -> str:
        return json.dumps(ask(way, "tools/call", "--tool-name", tool, "--tool-args-json", json.dumps(arguments)))

    with ThreadPoolExecutor(CONCURRENTLY) as pool:
        calls = zip(itertools.cycle(WAYS), TOOL_CALLS, strict=False)
        answers = [(pool.submit(call, way, tool, arguments), said) for way, (tool, arguments, said) in calls]
    for answer, said in answers:
        assert said in answer.result()


def test_the_resources_are_listed_and_read(ask: Inspect) -> None:
    """The inbox, and a report through its template; each request in another way."""
    launcher_modern, launcher_legacy, server_modern, server_legacy = WAYS
    report = f"sagaflow://runs/{RUN_ID}/report"
    with ThreadPoolExecutor(CONCURRENTLY) as pool:
        resources = pool.submit(ask, launcher_modern, "resources/list")
        templates = pool.submit(ask, server_legacy, "resources/templates/list")
        inbox = pool.submit(ask, server_modern, "resources/read", "--uri", "sagaflow://inbox")
        read = pool.submit(ask, launcher_legacy, "resources/read", "--uri", report)
    assert [each["uri"] for each in resources.result()["resources"]] == ["sagaflow://inbox"]
    assert [each["uriTemplate"] for each in templates.result()["resourceTemplates"]] == [
        "sagaflow://runs/{run_id}/report"
    ]
    assert inbox.result()["contents"][0]["mimeType"] == "text/markdown"
    assert "hello, alice" in read.result()["contents"][0]["text"]
