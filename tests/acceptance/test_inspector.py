"""The MCP server as the MCP Inspector sees it, by way of the plugin's launcher and by itself."""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from sagaflow_mcp import runs
from sagaflow_mcp.testing import LocalSagaflow, Rule
from tests.acceptance import tools
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
"""Inspectors at the same time: each takes seconds to start."""

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
def inspect(local: LocalSagaflow, inspector: Path) -> Inspect:
    """What the Inspector prints of one method's result."""
    program = inspector / "node_modules" / ".bin" / "mcp-inspector"
    environment = {**local.environment(), **tools.INSTALLED, "PATH": tools.path()}
    ours = [
        f"{name}={value}"
        for name, value in environment.items()
        if name.startswith(("SAGAFLOW_", "ANTHROPIC_")) and value
    ]
    given = [word for each in ours for word in ("-e", each)]

    def run(way: tuple[str, str], method: str, *options: str) -> dict[str, Any]:
        server, era = way
        words = [
            "--cli",
            *SERVERS[server],
            # Of milliseconds; its own 15 s are little where many other tests run.
            "--connect-timeout",
            "60000",
            *given,
            "--method",
            method,
            *options,
            "--protocol-era",
            era,
            "--format",
            "json",
        ]
        found: dict[str, Any] = json.loads(tools.run([str(program), *words], env=environment).stdout)["result"]
        return found

    return run


def test_the_schemas_of_all_tools_are_portable(inspect: Inspect) -> None:
    """Strictly: whatever the Inspector has to say about a schema is a failure."""
    with ThreadPoolExecutor(CONCURRENTLY) as pool:
        found = list(pool.map(lambda way: inspect(way, "tools/list", "--strict"), WAYS))
    for listed in found:
        assert {tool["name"] for tool in listed["tools"]} == {name for name, _, _ in TOOL_CALLS}


def test_each_tool_answers(inspect: Inspect, local: LocalSagaflow) -> None:
    """Each in one of the ways, in turn; a launch under the id of a run that is done answers with its result."""
    local.launch("one-function", what="ask", count=3600, run_id=ASKING)
    eventually(lambda: runs.get(local.settings.home, ASKING).questions, "the run asks")

    def call(way: tuple[str, str], tool: str, arguments: dict[str, Any]) -> str:
        given = json.dumps(arguments)
        return json.dumps(inspect(way, "tools/call", "--tool-name", tool, "--tool-args-json", given))

    with ThreadPoolExecutor(CONCURRENTLY) as pool:
        calls = zip(itertools.cycle(WAYS), TOOL_CALLS, strict=False)
        answers = [(pool.submit(call, way, tool, arguments), said) for way, (tool, arguments, said) in calls]
    for answer, said in answers:
        assert said in answer.result()


def test_the_resources_are_listed_and_read(inspect: Inspect) -> None:
    """The inbox, and a report through its template; each request in another way."""
    launcher_modern, launcher_legacy, server_modern, server_legacy = WAYS
    report = f"sagaflow://runs/{RUN_ID}/report"
    with ThreadPoolExecutor(CONCURRENTLY) as pool:
        resources = pool.submit(inspect, launcher_modern, "resources/list")
        templates = pool.submit(inspect, server_legacy, "resources/templates/list")
        inbox = pool.submit(inspect, server_modern, "resources/read", "--uri", "sagaflow://inbox")
        read = pool.submit(inspect, launcher_legacy, "resources/read", "--uri", report)
    assert [each["uri"] for each in resources.result()["resources"]] == ["sagaflow://inbox"]
    assert [each["uriTemplate"] for each in templates.result()["resourceTemplates"]] == [
        "sagaflow://runs/{run_id}/report"
    ]
    assert inbox.result()["contents"][0]["mimeType"] == "text/markdown"
    assert "hello, alice" in read.result()["contents"][0]["text"]
