"""The guide for those who write skills, carried out: each of its skills is launched as the guide says."""

from __future__ import annotations

import hashlib
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sagaflow_mcp import mcp_servers
from sagaflow_mcp.durable import answers
from sagaflow_mcp.testing import Error, LocalSagaflow, Rule
from tests import command_line
from tests.acceptance import documents, tools
from tests.integration.clients import with_client
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from temporalio.client import Client

GUIDE = tools.ROOT.joinpath("skills", "README.md").read_text(encoding="utf-8")

MAKING = {
    "sagaflow skills new explain": "  sagaflow launch explain --await",
    "sagaflow skills test explain": 'ok    snow: DONE, "What snow is, in a sentence."',
    "sagaflow launch explain --await": "Rain is water.",
}
"""The commands that make a skill, and a pattern of the last line that each prints."""

LAUNCHES = {
    "sagaflow launch greet --name bob --await": "hi bob",
    """sagaflow launch invite --guests '[{"name": "Ada", "brings": ["tea"]}, {"name": "Bo"}]' --tone dry --await""": (
        "Ada, Bo, dry"
    ),
    'sagaflow launch triage --report "the page is blank" --await': "high: nobody can work",
    "sagaflow launch count-words --file notes.txt --await": "3",
    'sagaflow launch lint --command "wc -w notes.txt" --await': "exit status 0",
    """sagaflow launch debate --questions '["tabs", "daylight saving", "unanswerable"]' --await""": "2 of 3 debated",
    "sagaflow launch changelog --since 1.2 --await": "nothing has changed",
    "sagaflow launch proofread --arguments notes.txt --await": "no mistakes",
    "sagaflow launch deploy --tag v2 --id deploy-v2": ".*: sagaflow show deploy-v2",
    'sagaflow launch reminder --text "water the plants" --days 0.000001 --await': r".+: water the plants \(.+\)",
    "sagaflow launch checksum --file /dev/null --await": hashlib.sha256().hexdigest(),
}
"""The commands that launch something, and a pattern of the last line that each prints."""

TESTING = {"sagaflow skills test count-words": "ok    three: DONE, 3"}
"""The command that tries a test case, and its last line."""

SECONDS = 90


@pytest.fixture(scope="module")
def sagaflow() -> Iterator[LocalSagaflow]:
    """A user who has all of the guide's skills."""
    with LocalSagaflow() as local:
        documents.write_files(GUIDE, local.folder / ".claude" / "skills")
        local.folder.joinpath("notes.txt").write_text("one two three\n", encoding="utf-8")
        local.model.add(
            Rule(match="Explain", reply="STRUCTURED_OUTPUT_START\nSENTENCE|Rain is water.\nSTRUCTURED_OUTPUT_END"),
            Rule(match="Greet bob", reply="STRUCTURED_OUTPUT_START\nGREETING|hi bob\nSTRUCTURED_OUTPUT_END"),
            Rule(match="How severe", reply={"severity": "high", "reason": "nobody can work"}),
            Rule(match="unanswerable", error=Error(status=400, type="invalid_request_error", message="no idea")),
            Rule(match="since 1.2", reply="nothing has changed"),
            Rule(match="each spelling mistake", reply="no mistakes"),
            Rule(match=r"Argue (\w+) this: (.*)", reply="${1} ${2}"),
        )
        yield local


def test_all_code_of_the_guide_is_in_a_file_or_run() -> None:
    """What has no name before it and no place above would not be tried."""
    assert sorted(documents.commands(GUIDE)) == sorted([*MAKING, *LAUNCHES, *TESTING])
    assert GUIDE.count("```") == 2 * (len(documents.files(GUIDE)) + 1 + len(LAUNCHES) + len(TESTING))
    skills = {name.partition("/")[0] for name in documents.files(GUIDE)} - {"test_skills.py"}
    assert skills == {command.split()[2] for command in LAUNCHES}


def test_the_servers_of_the_guide_are_understood(sagaflow: LocalSagaflow) -> None:
    """As those of the skill in whose folder they stand."""
    found = mcp_servers.of_skill(sagaflow.folder / ".claude" / "skills" / "proofread")
    assert [(name, each.command or each.url) for name, each in found.items()] == [
        ("files", "npx"),
        ("tracker", "python3"),
        ("web", "https://mcp.example.com/mcp"),
    ]


def test_a_skill_is_made_tried_and_launched_as_the_guide_says(sagaflow: LocalSagaflow) -> None:
    """One command after the other."""
    environment = {**sagaflow.environment(), "PATH": tools.path()}
    for command, said in MAKING.items():
        shown = tools.run(command, env=environment, cwd=sagaflow.folder, seconds=SECONDS).stdout
        assert re.fullmatch(said, shown.splitlines()[-1])


@pytest.mark.parametrize(("command", "said"), {**LAUNCHES, **TESTING}.items())
def test_each_skill_does_what_the_guide_says(sagaflow: LocalSagaflow, command: str, said: str) -> None:
    """Launched with the words that a shell makes of what its reader copies."""
    _, *words = shlex.split(command)
    done = command_line.in_process(*words, env={**sagaflow.environment(), "PATH": tools.path()}, cwd=sagaflow.folder)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(said, done.stdout.splitlines()[-1])


def test_the_question_of_the_guide_takes_the_answer_of_the_guide(sagaflow: LocalSagaflow) -> None:
    """And the run goes on with it."""
    run_id = sagaflow.launch("deploy", tag="v3")
    eventually(lambda: [entry for entry in sagaflow.inbox(run_id) if entry.summary == "Deploy v3? (yes / no)"])

    async def answer(client: Client) -> Any:
        """As whatever brings an answer does."""
        return await client.get_workflow_handle(run_id).execute_update(answers.ANSWER, "yes")

    with_client(sagaflow, answer)
    assert sagaflow.wait(run_id).result == "v3: yes"


def test_the_files_of_a_run_are_where_the_guide_says(sagaflow: LocalSagaflow) -> None:
    """Report, artifact and progress."""
    run = sagaflow.wait(sagaflow.launch("debate", questions=["tabs", "unanswerable"]))
    folder = Path(run.run_dir)
    assert folder.joinpath("report.md").read_text(encoding="utf-8") == "## tabs\n\nfor tabs\n\nagainst tabs"
    assert "no idea" in folder.joinpath("failures.txt").read_text(encoding="utf-8")


def test_the_tests_of_the_guide_pass(tmp_path: Path) -> None:
    """In a project that knows nothing of this one."""
    documents.write_files(GUIDE, tmp_path)
    environment = {"PATH": tools.path(), "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_skills.py"]
    assert "3 passed" in tools.run(command, env=environment, cwd=tmp_path, seconds=SECONDS).stdout
