"""Agents with tools of MCP servers."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sagaflow_mcp import agent_tools, answering, artifacts, catalog, checking, launch, mcp_names, runs
from sagaflow_mcp.testing import LocalSagaflow, Rule, ToolUse
from tests import process_table
from tests.acceptance import tools
from tests.integration import odd_http
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagaflow_mcp.runs import Run
    from sagaflow_mcp.testing import Recorded

FILESYSTEM = ("@modelcontextprotocol/server-filesystem", "2026.8.31")
EVERYTHING = ("@modelcontextprotocol/server-everything", "2026.8.31")

ODD = Path(__file__).with_name("odd_mcp_server.py")

SKILL = """\
---
allowed-tools: read_file, mcp__odd__*, mcp__files, Read
---
Do it.
"""

FUNCTION = '''\
"""Has an agent with the tools that it is given."""

from sagaflow_mcp import Context, skill


@skill("chosen")
async def chosen(ctx: Context, tools: list[str]) -> str:
    """Work."""
    return await ctx.agent("Work.", tools=tools)
'''


def node(package: tuple[str, str], *arguments: str) -> dict[str, Any]:
    """How a server that npm has installed is named."""
    entry = tools.npm_package(package) / "node_modules" / package[0] / "dist" / "index.js"
    return {"command": "node", "args": [str(entry), *arguments]}


def odd(*manner: str) -> dict[str, Any]:
    """How our own is."""
    return {"command": sys.executable, "args": [str(ODD), *manner], "env": {"ODD_PID": "${CLAUDE_PROJECT_DIR}/pids"}}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSagaflow]:
    """A Sagaflow with skills that have servers."""
    folder = tmp_path_factory.mktemp("skills")
    servers = {
        "odd": odd(),
        "crash": odd("crash"),
        "many": odd("many"),
        "files": node(FILESYSTEM, "${CLAUDE_PROJECT_DIR}"),
        "all of it": node(EVERYTHING),
    }
    for name, text in {"chosen/__init__.py": FUNCTION, "instructed/SKILL.md": SKILL}.items():
        path = folder / name
        path.parent.mkdir()
        path.write_text(text, encoding="utf-8")
        path.with_name(".mcp.json").write_text(json.dumps({"mcpServers": servers}), encoding="utf-8")
    with LocalSagaflow(skills=[folder]) as started:
        yield started


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder to launch from."""
    return tmp_path


def call(name: str, **given: Any) -> ToolUse:
    """A tool call of the model's."""
    return ToolUse(name=name, input=given)


def ran(local: LocalSagaflow, project: Path, names: list[str], *turns: Rule) -> tuple[Run, list[Recorded]]:
    """The run of an agent with these tools, to whom the model answers so, and what the model was asked."""
    local.model.replace(*turns)
    since = len(local.model.requests)
    run = local.wait(launched(local, project, "chosen", tools=names))
    return run, local.model.requests[since:]


def launched(local: LocalSagaflow, project: Path, skill: str, **arguments: Any) -> str:
    """The id of a run that was launched from the project; nobody is asked about the tools that it is given."""
    allow = tuple(filter(mcp_names.is_named, arguments.get("tools", ())))
    request = launch.Request(skill, arguments, project_dir=str(project), allow=allow)
    return anyio.run(launch.launch, local.settings, request).run_id


def said(request: Recorded) -> list[str]:
    """What the tools have said last."""
    return [each["content"] for each in request.body["messages"][-1]["content"]]


def test_an_agent_uses_the_tools_of_its_skills_servers(local: LocalSagaflow, project: Path) -> None:
    """A server keeps what it knows from call to call; what it gives back besides text is a file of the run."""
    run, asked = ran(
        local,
        project,
        ["read_file", "mcp__odd"],
        Rule(tools=(call("mcp__odd__echo", text="hi"), call("mcp__odd__count"), call("mcp__odd__a_b_c")), times=1),
        Rule(tools=(call("mcp__odd__image"), call("mcp__odd__count"), call("mcp__odd__fail")), times=1),
        Rule(tools=(call("mcp__odd__none"), call("mcp__odd__half")), times=1),
        Rule(reply="Done.", times=1),
    )
    assert (run.state, run.result) == ("DONE", "Done."), run.summary
    names = [each["name"] for each in asked[0].body["tools"]]
    assert names[:3] == ["read_file", "mcp__odd__echo", "mcp__odd__count"]
    assert "mcp__odd__large" not in names
    assert said(asked[1]) == ["hi", "2", "odd name"]
    files, count, failed = said(asked[2])
    assert (count, failed) == ("5", "no such thing")
    image, resource, link = files.splitlines()
    assert image.startswith("[image, image/png, 70 bytes: ")
    assert Path(image.rpartition(" ")[2].rstrip("]")).read_bytes().startswith(b"\x89PNG")
    assert resource.startswith("[resource file:///a.bin, application/x-odd, 3 bytes: ")
    assert link == "[resource https://a.test/x: x]"
    unknown, half = said(asked[3])
    assert unknown.startswith("there is no tool 'mcp__odd__none'; there are read_file, mcp__odd__echo, ")
    assert half == "half ?"


def test_a_person_is_asked_about_a_tool_that_is_not_allowed(local: LocalSagaflow, project: Path) -> None:
    """And not about one that the server has not, nor about another of the same server once that one is allowed."""
    local.model.replace(
        Rule(tools=(call("mcp__odd__none"), call("mcp__odd__echo", text="hi"), call("mcp__odd__count")), times=1),
        Rule(reply="Done.", times=1),
    )
    request = launch.Request("chosen", {"tools": ["mcp__odd"]}, project_dir=str(project), allow=("mcp__odd__count",))
    run_id = anyio.run(launch.launch, local.settings, request).run_id
    (question,) = eventually(lambda: runs.get(local.settings.home, run_id).questions, "the question")
    assert question.question == "May an agent of this run use mcp__odd__echo? hi"
    anyio.run(answering.decide, local.settings, question, "allow")
    assert local.wait(run_id).result == "Done."
    assert said(local.model.requests[-1])[1:] == ["hi", "2"]
    described = {each["name"]: each["description"] for each in local.model.requests[-1].body["tools"]}
    assert agent_tools.ASKED in described["mcp__odd__echo"]
    assert agent_tools.ASKED not in described["mcp__odd__count"]


def test_a_skill_file_names_servers_in_its_allowed_tools(local: LocalSagaflow, project: Path) -> None:
    """As for Claude Code."""
    local.model.replace(Rule(reply="Done.", times=1))
    assert local.wait(launched(local, project, "instructed")).state == "DONE"
    names = [each["name"] for each in local.model.requests[-1].body["tools"]]
    assert {"read_file", "mcp__odd__echo", "mcp__files__write_file"} <= set(names)


def test_a_check_says_which_servers_are_wrong_or_missing(local: LocalSagaflow, tmp_path: Path) -> None:
    """Before anything is launched."""
    skill = tmp_path / "lacking"
    skill.mkdir()
    (skill / "SKILL.md").write_text("---\nallowed-tools: mcp__x\n---\nDo it.\n", encoding="utf-8")
    roots = [catalog.Root("path", tmp_path)]
    (checked,) = checking.check(local.settings.home, roots, "lacking")
    (finding,) = checked.findings
    assert finding.sentence.startswith("its agent cannot begin: no MCP server for mcp__x is named in .mcp.json or ")
    (skill / ".mcp.json").write_text('{"mcpServers": {"x": {}}}', encoding="utf-8")
    (checked,) = checking.check(local.settings.home, roots, "lacking")
    assert [each.sentence for each in checked.findings] == ["mcpServers.x must have either a command or a url"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "mcp__none",
            "there is no MCP server for the tool 'mcp__none'; there are all_of_it, crash, files, many, odd: ",
        ),
        ("mcp__odd__x", "MCP server 'odd' has no tool 'mcp__odd__x'; it has mcp__odd__echo, "),
        ("mcp__odd__large", "tool 'mcp__odd__large' of MCP server 'odd' cannot be used: its input schema takes more"),
        ("mcp__crash", "MCP server 'crash' cannot be started: ValueError: it cannot work"),
        ("mcp__many__*", "the agent would have 10000 tools, of MCP servers many, more than 128; name those"),
        ("mcp__*", "there is no tool 'mcp__*'; there are read_file, "),
    ],
)
def test_tools_that_cannot_be_had_fail_the_run(local: LocalSagaflow, project: Path, name: str, sentence: str) -> None:
    """With a sentence that says which, before the model is asked anything."""
    run, asked = ran(local, project, [name])
    assert (run.state, asked) == ("FAILED", [])
    assert sentence in run.summary


def test_a_run_with_real_servers_goes_on_after_the_worker_was_killed(local: LocalSagaflow, project: Path) -> None:
    """With the files that it would have had; no server outlives the worker, and no call is made twice."""
    local.model.replace(
        Rule(tools=(call("mcp__files__write_file", path=str(project / "1.txt"), content="one"),), times=1),
        Rule(tools=(call("mcp__all_of_it__get-sum", a=2, b=3), call("mcp__odd__hang")), times=1),
        Rule(
            tools=(call("mcp__files__read_text_file", path="1.txt"), call("mcp__all_of_it__echo", message="a")), times=1
        ),
        Rule(tools=(call("mcp__files__write_file", path=str(project / "2.txt"), content="two"),), times=1),
        Rule(reply="Done.", times=1),
    )
    since = len(local.model.requests)
    run_id = launched(local, project, "chosen", tools=["mcp__files", "mcp__all_of_it", "mcp__odd"])
    agents = Path(local.settings.home.run(run_id), artifacts.AGENTS)
    eventually(lambda: list(agents.glob("*/1-1.begun")), "the call in whose middle the worker dies")
    servers = [int(line.split()[0]) for line in process_table.naming(str(tools.npm_package(EVERYTHING)))]
    assert servers
    os.kill(local.pid("worker"), signal.SIGKILL)
    run = local.wait(run_id)
    assert run.state == "DONE", run.summary
    for pid in servers:
        eventually(lambda pid=pid: process_table.is_gone(pid), f"the end of server {pid}")  # type: ignore[misc]
    asked = local.model.requests[since:]
    assert len(asked) == 5
    assert "The sum of 2 and 3 is 5" in said(asked[2])[0]
    assert said(asked[2])[1] == agent_tools.UNKNOWN
    assert said(asked[3]) == ["one", "Echo: a"]
    assert [(project / name).read_text(encoding="utf-8") for name in ("1.txt", "2.txt")] == ["one", "two"]


def test_the_users_servers_are_there_and_their_secrets_are_nowhere_else(local: LocalSagaflow, project: Path) -> None:
    """A skill's own of the same name goes before; a server is gone when its run has ended."""
    config = Path(local.settings.home.config)
    with odd_http.served() as url:
        user: dict[str, dict[str, Any]] = {
            "web": {"url": url, "headers": {"Authorization": odd_http.TOKEN}},
            "odd": {"command": "no-such-thing"},
        }
        lines = [f"[mcp_servers]\n{name} = {_toml(members)}\n" for name, members in user.items()]
        config.write_text("".join(lines).replace("[mcp_servers]\nodd", "odd"), encoding="utf-8")
        run, asked = ran(
            local,
            project,
            ["mcp__web__count", "mcp__web__headers", "mcp__odd__count"],
            Rule(tools=(call("mcp__web__count"), call("mcp__web__headers"), call("mcp__odd__count")), times=1),
            Rule(reply="Done.", times=1),
        )
    config.unlink()
    assert run.state == "DONE", run.summary
    first, headers, own = said(asked[1])
    assert (first, own) == ("1", "1")
    assert "'authorization': '…'" in headers
    (pid,) = (project / "pids").read_text(encoding="utf-8").split()
    eventually(lambda: process_table.is_gone(int(pid)), "the end of the run's server")
    kept = [path for path in local.folder.rglob("*") if path.is_file()]
    secret = odd_http.TOKEN.rpartition(" ")[2].encode()
    assert [path for path in kept if secret in path.read_bytes()] == []


def test_servers_work_where_a_skill_is_tested(tmp_path: Path) -> None:
    """`sagaflow skills test` has a home of its own, and starts those of the skill in it."""
    skill = tmp_path / "counting"
    (skill / "tests").mkdir(parents=True)
    (skill / "SKILL.md").write_text("---\nallowed-tools: mcp__odd__count\n---\nCount.\n", encoding="utf-8")
    (skill / ".mcp.json").write_text(json.dumps({"mcpServers": {"odd": odd()}}), encoding="utf-8")
    replies = [{"tools": [{"name": "mcp__odd__count", "input": {}}], "times": 1}, {"match": "\\n1$", "reply": "One."}]
    (skill / "tests" / "first.json").write_text(json.dumps({"replies": replies, "result": "One."}), encoding="utf-8")
    done = tools.run(
        [str(tools.COMMANDS / "sagaflow"), "skills", "test", str(skill)],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert done.stdout == 'ok    first: DONE, "One."\n'


def _toml(members: dict[str, Any]) -> str:
    """An inline table."""
    shown = (
        f"{name} = {_toml(each) if isinstance(each, dict) else json.dumps(each)}" for name, each in members.items()
    )
    return f"{{{', '.join(shown)}}}"
