"""The bundled skills that are one function: what they do with the model's replies and with a person's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sagaflow_mcp import launch
from sagaflow_mcp.durable import answers
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.testing import Error, Rule
from tests.integration.clients import with_client
from tests.waiting import eventually

if TYPE_CHECKING:
    from temporalio.client import Client

    from sagaflow_mcp.runs import Run
    from sagaflow_mcp.testing import LocalSagaflow

GIST = {"headline": "They differ.", "text": "One is loud."}
OVERLOADED = Error(status=400, type="invalid_request_error", message="no such topic")


@pytest.fixture(autouse=True, scope="module")
def _model(local: LocalSagaflow) -> None:
    local.model.add(
        Rule(match="Topic: (bad|worse)", error=OVERLOADED),
        Rule(match=r"Topic: (\w+)", reply="all about ${1}"),
        Rule(match=r"The answers:", reply=GIST),
        Rule(match=r"Write this: (\w+)(?s:.*)different: none", reply="# First ${1}"),
        Rule(
            match=r"Write this: (\w+)(?s:.*)draft, which was not accepted: # First(?s:.*)different: shorter",
            reply="# ${1}",
        ),
    )


def fan_out(local: LocalSagaflow, *topics: str) -> Run:
    """The run over these topics, once it has ended."""
    return local.wait(local.launch("fan-out", question="How loud is it?", topics=list(topics)))


def test_each_topic_is_asked_about_and_all_are_summed_up(local: LocalSagaflow) -> None:
    """In the order of the topics, in the report and in the last prompt."""
    run = fan_out(local, "cats", "dogs", "fish")
    assert run.result == "They differ. (3 of 3 topics answered)"
    report = Path(run.report_path).read_text(encoding="utf-8")
    assert report.startswith(
        "# How loud is it?\n\n**They differ.** One is loud.\n\n## cats\n\nall about cats\n\n## dogs"
    )
    assert "Without an answer" not in report
    asked = local.model.requests[-1].body["messages"][0]["content"]
    assert asked.index("all about cats") < asked.index("all about dogs") < asked.index("all about fish")


def test_a_topic_that_fails_is_named_and_the_others_are_reported(local: LocalSagaflow) -> None:
    """Without any answer the run fails."""
    run = fan_out(local, "cats", "bad")
    assert run.result == "They differ. (1 of 2 topics answered)"
    report = Path(run.report_path).read_text(encoding="utf-8")
    assert "## cats\n\nall about cats\n\n## Without an answer\n\n- bad: " in report
    assert "no such topic" in report
    nothing = fan_out(local, "bad", "worse")
    assert nothing.state == "FAILED"
    assert "2 of 2 failed: 0 ('bad'): " in nothing.summary


def test_without_topics_nothing_is_launched(local: LocalSagaflow) -> None:
    """The schema says so."""
    with pytest.raises(Refusal) as refused:
        fan_out(local)
    assert "argument 'topics' of skill 'fan-out' is []" in str(refused.value)


def question(local: LocalSagaflow, run_id: str, words: str) -> bool:
    """Whether the inbox has the question with these words."""
    return any(entry.status == "NEEDS_INPUT" and words in entry.summary for entry in local.inbox(run_id))


def reply(local: LocalSagaflow, run_id: str, words: str, text: str) -> None:
    """Answer the question with these words, once it is asked."""
    eventually(lambda: question(local, run_id, words), words)

    async def send(client: Client) -> Any:
        """As whatever brings an answer does."""
        return await client.get_workflow_handle(run_id).execute_update(answers.ANSWER, text)

    with_client(local, send)


def test_a_draft_is_made_anew_until_a_person_approves_it(local: LocalSagaflow) -> None:
    """With what that person wants to be different."""
    run_id = local.launch("approval", task="note")
    reply(local, run_id, "draft-1.md (yes / no / again)", "again")
    reply(local, run_id, "What should the next draft do differently?", "shorter")
    reply(local, run_id, "draft-2.md (yes / no / again)", "yes")
    run = local.wait(run_id)
    assert run.result == "draft 2 was approved"
    texts = {path.name: path.read_text(encoding="utf-8") for path in Path(run.run_dir).glob("*.md")}
    assert texts.pop("draft-1.md") == "# First note"
    assert texts == dict.fromkeys(("approved.md", "draft-2.md", "report.md"), "# note")


def test_what_nobody_approves_is_not_approved(local: LocalSagaflow) -> None:
    """Rejected, or not decided in time."""
    run_id = local.launch("approval", task="note")
    reply(local, run_id, "draft-1.md", "no")
    rejected = local.wait(run_id)
    assert rejected.result == "draft 1 was rejected"
    unanswered = local.wait(local.launch("approval", task="note", wait_hours=0))
    assert unanswered.result == "draft 1 was not approved: nobody decided in 0 hours"
    for run in (rejected, unanswered):
        assert not Path(run.run_dir, "approved.md").exists()


def test_the_task_of_an_agent_is_the_first_message_and_its_rules_are_the_system_prompt(
    local: LocalSagaflow, tmp_path: Path
) -> None:
    """With the folder that it works in, and each of its tools by name; no `$variable` is left."""
    local.model.add(Rule(match="Count the notes", reply="There are no notes."))
    since = len(local.model.requests)
    request = launch.Request("task", {"task": "Count the notes in $folder."}, project_dir=str(tmp_path))
    run = local.wait(anyio.run(launch.launch, local.settings, request).run_id)
    assert (run.state, run.result) == ("DONE", "There are no notes.")
    (asked,) = local.model.requests[since:]
    assert [each["content"] for each in asked.body["messages"]] == ["Count the notes in $folder."]
    names = [each["name"] for each in asked.body["tools"]]
    assert names == ["read_file", "glob", "grep", "write_file", "edit_file", "bash", "web_fetch"]
    assert f"The working folder is {tmp_path}." in asked.body["system"]
    assert all(f"`{name}`" in asked.body["system"] for name in names)
    assert "$" not in asked.body["system"].replace(str(tmp_path), "")


def test_a_blank_task_is_refused(local: LocalSagaflow) -> None:
    """Before anything is started."""
    with pytest.raises(Refusal) as refused:
        local.launch("task", task=" ")
    assert "argument 'task' of skill 'task' is ' '" in str(refused.value)
