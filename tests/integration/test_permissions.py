"""Calls that an agent may not make unasked: a person decides, in a terminal or in the dialog of an MCP client."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp_types import ElicitResult

from sagaflow_mcp import answering, inbox, launch, run_updates, runs
from sagaflow_mcp.durable import answers
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.testing import LocalSagaflow, Rule, ToolUse
from tests import waiting
from tests.acceptance import tools
from tests.acceptance.terminals import Terminal
from tests.integration import clients

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp.client import ClientRequestContext
    from mcp_types import ElicitRequestParams

    from sagaflow_mcp.questions import Question

SAGAFLOW = str(tools.COMMANDS / "sagaflow")
SERVER = str(tools.COMMANDS / "sagaflow-mcp")
DENIED = "a person has not allowed this call"

BOTH = '''\
"""Asks a question while its agent asks for a permission."""

import asyncio

from sagaflow_mcp import Context, skill


@skill("both")
async def both(ctx: Context) -> list[str]:
    """Work."""
    return await asyncio.gather(ctx.ask("Which colour?"), ctx.agent("Work.", tools=["bash"]))
'''


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSagaflow]:
    """A Sagaflow with a skill that is a SKILL.md alone, and one that asks in two ways."""
    skills = tmp_path_factory.mktemp("skills")
    (skills / "writer").mkdir()
    (skills / "writer" / "SKILL.md").write_text("Write.", encoding="utf-8")
    (skills / "both").mkdir()
    (skills / "both" / "__init__.py").write_text(BOTH, encoding="utf-8")
    with LocalSagaflow(skills=[skills]) as started:
        yield started


def bash(command: str) -> ToolUse:
    """A call of the model's."""
    return ToolUse(name="bash", input={"command": command})


def write(path: Path | str, content: str) -> ToolUse:
    """Another one."""
    return ToolUse(name="write_file", input={"path": str(path), "content": content})


def launched(local: LocalSagaflow, project: Path, *turns: Rule, skill: str = "", **more: Any) -> str:
    """The id of a run of a skill, or of a task, whose model answers with `turns`, one after another."""
    local.model.replace(*turns)
    arguments = {} if skill else {"task": "Work."}
    request = launch.Request(skill or "task", arguments, project_dir=str(project), bundled=not skill, **more)
    return anyio.run(launch.launch, local.settings, request).run_id


def asked(local: LocalSagaflow, run_id: str, count: int = 1) -> list[Question]:
    """The questions of the run, once there are so many, in the inbox too."""
    home = local.settings.home

    def look() -> list[Question]:
        """Those that are told."""
        return [each for each in runs.get(home, run_id).questions if inbox.has(home, f"{run_id}~{each.id}")]

    return waiting.eventually(lambda: found if len(found := look()) == count else None, f"{count} questions")


def decide(local: LocalSagaflow, question: Question, decision: str) -> None:
    """What the terminal and the dialog do."""
    anyio.run(answering.decide, local.settings, question, decision)


def said(local: LocalSagaflow) -> list[str]:
    """What the tools have said last in the conversation that the model was sent last."""
    content = local.model.requests[-1].body["messages"][-1]["content"]
    return [each["content"] for each in content if each["type"] == "tool_result"]


def test_a_call_that_is_denied_is_not_made(local: LocalSagaflow, tmp_path: Path) -> None:
    """The question shows all of it, waits in the inbox, and is answered by nothing but a decision."""
    command = f"echo x | tee made.txt # {'y' * 500}"
    run_id = launched(local, tmp_path, Rule(tools=(bash(command),), times=1), Rule(reply="done", hold="end"))
    (question,) = asked(local, run_id)
    assert (question.asks_permission, question.options) == (True, ("allow", "allow for this run", "deny"))
    assert question.question.startswith("May an agent of this run use bash? echo x | tee made.txt")
    assert question.details == f"command: {command}"
    (entry,) = [each for each in inbox.unread(local.settings.home) if each.run_id == run_id]
    assert (entry.status, entry.entry_id) == ("NEEDS_INPUT", f"{run_id}~{question.id}")
    with pytest.raises(Refusal, match="asks for a permission, which only a person gives: leave the answer out"):
        anyio.run(answering.answer, local.settings, run_id, "allow")
    with pytest.raises(Refusal, match="which only a person gives, and no answer that a program passes on"):
        anyio.run(run_updates.send, local.settings, run_id, answers.ANSWER, ["allow", question.id], "the answer")
    with pytest.raises(Refusal, match="'perhaps' is not one of 'allow'"):
        decide(local, question, "perhaps")
    decide(local, question, "deny")
    with pytest.raises(Refusal, match="already been answered: 'deny'"):
        decide(local, question, "allow")
    local.model.release("end")
    assert local.wait(run_id).result == "done"
    assert not (tmp_path / "made.txt").exists()
    assert said(local)[0].startswith(DENIED)
    assert not [each for each in inbox.unread(local.settings.home) if each.status == "NEEDS_INPUT"]


def test_a_run_that_is_ended_asks_no_more(local: LocalSagaflow, tmp_path: Path) -> None:
    """Also where it had no time to take its question back."""
    run_id = launched(local, tmp_path, Rule(tools=(bash("touch made.txt"),), times=1), Rule(reply="done"))
    (question,) = asked(local, run_id)
    clients.with_client(local, lambda client: client.get_workflow_handle(run_id).terminate())
    assert local.wait(run_id).state == "TERMINATED"
    assert [each.status for each in inbox.unread(local.settings.home) if each.run_id == run_id] == ["TERMINATED"]
    with pytest.raises(Refusal, match="it has ended meanwhile"):
        decide(local, question, "allow")
    assert not (tmp_path / "made.txt").exists()


def test_what_is_allowed_for_the_run_is_asked_once(local: LocalSagaflow, tmp_path: Path) -> None:
    """Also where the worker is killed while it asks; other tools go on to ask."""
    fetch = ToolUse(name="web_fetch", input={"url": "http://127.0.0.1/"})
    run_id = launched(
        local,
        tmp_path,
        Rule(tools=(bash("echo 1 >> log"),), times=1),
        Rule(tools=(bash("echo 2 >> log"), fetch), times=1),
        Rule(reply="done"),
    )
    (question,) = asked(local, run_id)
    os.kill(local.pid("worker"), signal.SIGKILL)
    decide(local, question, "Allow for this run")
    (other,) = waiting.eventually(
        lambda: [each for each in asked(local, run_id) if "web_fetch" in each.question] or None, "the other question"
    )
    assert other.details == "url: http://127.0.0.1/"
    decide(local, other, "allow")
    assert local.wait(run_id).result == "done"
    assert (tmp_path / "log").read_text(encoding="utf-8") == "1\n2\n"
    assert "127.0.0.1" in said(local)[1]


def test_a_launch_allows_tools(local: LocalSagaflow, tmp_path: Path) -> None:
    """The model is not told that they ask; a name that is none is refused, and so is one where nobody could use it."""
    request = {"skill": "task", "arguments": {"task": "x"}, "project_dir": str(tmp_path), "bundled": True}
    for allow, sentence in {("bsh",): "there is no tool 'bsh'", ("bash",): "has no agent that a tool could be"}.items():
        given = request if allow == ("bsh",) else {"skill": "hello-world", "project_dir": str(tmp_path)}
        with pytest.raises(Refusal, match=sentence):
            anyio.run(launch.launch, local.settings, launch.Request(**given, allow=allow))
    run_id = launched(local, tmp_path, Rule(tools=(bash("echo made"),), times=1), Rule(reply="done"), allow=("bash",))
    assert local.wait(run_id).result == "done"
    assert said(local) == ["exit status 0\nmade\n"]
    described = {each["name"]: each["description"] for each in local.model.requests[-1].body["tools"]}
    assert [name for name, text in described.items() if "A person is asked" in text] == ["web_fetch"]


def test_a_file_of_the_runs_own_is_written_unasked(local: LocalSagaflow, tmp_path: Path) -> None:
    """And so is a call made that the tool refuses anyway; a file of the project's is asked about."""
    notes = Path(local.settings.home.run("writer-1"), "notes.md")
    calls = (write(notes, "own"), write("/etc/passwd", "no"), write("a.txt", "project"))
    turns = (Rule(tools=calls, times=1), Rule(reply="done"))
    run_id = launched(local, tmp_path, *turns, skill="writer", run_id="writer-1")
    (question,) = asked(local, run_id)
    assert question.details == "path: a.txt\ncontent: project"
    decide(local, question, "allow")
    assert local.wait(run_id).result == "done"
    assert notes.read_text(encoding="utf-8") == "own"
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "project"


def test_a_subagent_asks_too(local: LocalSagaflow, tmp_path: Path) -> None:
    """Two that ask at once: each is answered by its id."""
    parts = tuple(ToolUse(name="spawn_subagent", input={"task": f"part {each}"}) for each in "ab")
    run_id = launched(
        local,
        tmp_path,
        Rule(match="Write.", tools=parts, times=1),
        Rule(match="part a", tools=(bash("echo a > a"),), times=1),
        Rule(match="part b", tools=(bash("echo b > b"),), times=1),
        Rule(reply="done"),
        skill="writer",
    )
    of = {each.details[-1]: each for each in asked(local, run_id, 2)}
    decide(local, of["a"], "allow")
    decide(local, of["b"], "deny")
    assert local.wait(run_id).result == "done"
    assert ((tmp_path / "a").exists(), (tmp_path / "b").exists()) == (True, False)


def test_a_person_decides_in_a_terminal(local: LocalSagaflow, tmp_path: Path) -> None:
    """Where the whole command is shown; what is not a decision leaves the question open, and no program decides."""
    turns = (Rule(tools=(bash("echo \x1b]0; touch made.txt\x07"),), times=1), Rule(reply="done"))
    run_id = launched(local, tmp_path, *turns)
    asked(local, run_id)
    command = [SAGAFLOW, "answer", run_id]
    for environ, sentence in (
        ({"CLAUDECODE": "1"}, "this command was run by a program"),
        ({}, f"run sagaflow answer {run_id} in a terminal"),
    ):
        with pytest.raises(AssertionError, match=sentence):
            tools.run(command, env={**local.environment(), **environ})
    for keys, status in (("\n", 1), ("1\n", 0)):
        with Terminal(command, local.environment(), tmp_path, columns=100) as seen:
            seen.until("leaves it open:")
            assert r"command: echo \x1b]0; touch made.txt\x07" in seen.output, "nothing that steers the terminal"
            seen.type(keys)
            assert seen.ended() == status, seen.output
        assert ("the run goes on waiting" in seen.output) == bool(status)
    assert local.wait(run_id).result == "done"
    assert (tmp_path / "made.txt\x07").exists()


def test_a_question_beside_it_is_no_hindrance(local: LocalSagaflow, tmp_path: Path) -> None:
    """Without an answer the permission is meant, and with one the question."""
    turns = (Rule(tools=(bash("touch made.txt"),), times=1), Rule(reply="done"))
    run_id = launched(local, tmp_path, *turns, skill="both")
    asked(local, run_id, 2)
    with Terminal([SAGAFLOW, "answer", run_id], local.environment(), tmp_path, columns=100) as seen:
        seen.until("leaves it open:")
        seen.type("deny\n")
        assert seen.ended() == 0, seen.output
    assert clients.in_process(local, "answer", run_id, "blue").returncode == 0
    assert local.wait(run_id).result == ["blue", "done"]
    assert not (tmp_path / "made.txt").exists()


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_person_decides_in_the_clients_dialog(local: LocalSagaflow, tmp_path: Path, mode: str) -> None:
    """Whoever dismisses it decides nothing; what a model passes as an answer is refused."""
    decisions = [ElicitResult(action="cancel"), ElicitResult(action="accept", content={"decision": "allow"})]
    shown = []

    async def dialog(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        """The user."""
        del context
        shown.append(params.message)
        return decisions[len(shown) - 1]

    local.model.replace(Rule(tools=(bash("echo x > made.txt"),), times=1), Rule(reply="done"))
    server = StdioServerParameters(command=SERVER, env=local.environment(), cwd=tmp_path)
    with anyio.fail_after(90):
        async with Client(server, mode=mode, elicitation_callback=dialog) as client:
            launched = json.loads((await tools.said(client, "launch_workflow", task="Work."))[1])
            assert "its agents read files, and use write_file, edit_file, without asking" in launched["detail"]
            run_id = launched["run_id"]
            await waiting.eventually_async(lambda: runs.get(local.settings.home, run_id).questions, "the question")

            async def control(**given: str) -> str:
                """What the tool says."""
                return (await tools.said(client, "control_run", run_id=run_id, **given))[1]

            assert "only a person gives: control_run with action permission asks" in await control(
                action="answer", answer="allow"
            )
            assert "the user has decided nothing" in await control(action="permission")
            assert "allow; the run goes on" in await control(action="permission")
            await waiting.eventually_async(
                lambda: runs.get(local.settings.home, run_id).state == "DONE" or None, "the ending"
            )
            assert "asks nothing any more: it has ended" in await control(action="permission")
    assert "command: echo x > made.txt" in shown[0]
    assert (tmp_path / "made.txt").exists()


@pytest.mark.anyio
async def test_a_client_without_dialogs_names_the_terminal(local: LocalSagaflow, tmp_path: Path) -> None:
    """In a sentence; the question stays open."""
    local.model.replace(Rule(tools=(bash("echo x"),), times=1), Rule(reply="done"))
    server = StdioServerParameters(command=SERVER, env=local.environment(), cwd=tmp_path)
    with anyio.fail_after(90):
        async with Client(server) as client:
            run_id = json.loads((await tools.said(client, "launch_workflow", task="Work."))[1])["run_id"]
            await waiting.eventually_async(lambda: runs.get(local.settings.home, run_id).questions, "the question")
            is_error, told = await tools.said(client, "control_run", run_id=run_id, action="permission")
    assert is_error
    assert f"no dialog to ask in: the user can run in a terminal: sagaflow answer {run_id}" in told
    (question,) = runs.get(local.settings.home, run_id).questions
    await answering.decide(local.settings, question, "deny")
