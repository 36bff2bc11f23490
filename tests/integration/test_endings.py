"""Every ending reaches the inbox once, with the reason in a sentence."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from sagaflow_mcp import artifacts, engine_client, markers, temporal_server
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.testing import Error, LocalSagaflow, Rule
from tests import waiting
from tests.integration.clients import with_client


def only_entry(local: LocalSagaflow, run_id: str) -> tuple[str, str]:
    """Status and summary of the one entry that the run has once it has ended."""
    with suppress(TimeoutError):
        local.wait(run_id, seconds=20)
    (entry,) = local.inbox(run_id)
    return entry.status, entry.summary


def test_a_result_is_done(local: LocalSagaflow) -> None:
    """A run that returns is DONE, with its result as the summary."""
    assert only_entry(local, local.launch("endings", how="return")) == ("DONE", "heard []")


def test_an_exception_in_the_workflow_is_failed(local: LocalSagaflow) -> None:
    """A run whose workflow raises is FAILED, with the exception's own words."""
    status, summary = only_entry(local, local.launch("endings", how="raise"))
    assert (status, summary) == ("FAILED", "RuntimeError: the workflow broke on purpose")


@pytest.mark.parametrize(
    ("how", "statement"),
    [
        ("raise", 'raise RuntimeError("the workflow broke on purpose")'),
        ("broken", 'raise LookupError("the step broke on purpose")'),
        ("broken_later", 'raise LookupError("the step broke on purpose")'),
    ],
)
def test_a_traceback_goes_through_the_authors_own_files(local: LocalSagaflow, how: str, statement: str) -> None:
    """In the report, from the author's first frame on, and in the worker's log; the pinned copy is named nowhere."""
    author = Path(__file__).parent / "skills" / "endings" / "workflow.py"
    run = local.wait(local.launch("endings", how=how))
    report = Path(run.report_path).read_text(encoding="utf-8")
    head, first, second, end = report.split("\n\n", 2)[2].strip().splitlines()[1:]
    lines = author.read_text(encoding="utf-8").splitlines()
    place = re.fullmatch(rf'  File "{re.escape(str(author))}", line (\d+), in \w+', first)
    assert place
    assert (head, lines[int(place[1]) - 1].strip(), second.strip(), end) == (
        "Traceback (most recent call last):",
        statement,
        statement,
        "```",
    )
    log = Path(local.settings.home.engine, "worker.log").read_text(encoding="utf-8")
    assert first in log or how == "raise"
    assert "/code/workflow.py" not in log


def test_an_exception_in_a_signal_handler_is_failed(local: LocalSagaflow) -> None:
    """A run whose signal handler raises is FAILED too, and does not hang."""
    run_id = local.launch("endings", how="wait")
    with_client(local, lambda client: client.get_workflow_handle(run_id).signal("say", "raise"))
    assert only_entry(local, run_id) == ("FAILED", "RuntimeError: the signal handler broke on purpose")


def test_a_result_that_cannot_be_serialised_is_failed(local: LocalSagaflow) -> None:
    """A run that returns what cannot be stored is FAILED, never DONE."""
    status, summary = only_entry(local, local.launch("endings", how="unserialisable"))
    assert status == "FAILED"
    assert "cannot be serialised" in summary


def test_a_folder_in_the_reports_place_keeps_no_ending_back(local: LocalSagaflow) -> None:
    """It is told all the same. A skill's own file there is refused, since the report is one."""
    run_id = local.launch("endings", how="wait")
    Path(local.settings.home.run(run_id), "report.md").mkdir()
    with_client(local, lambda client: client.get_workflow_handle(run_id).signal("say", "enough"))
    assert only_entry(local, run_id) == ("DONE", "heard ['enough']")
    with pytest.raises(Refusal, match=r"takes 'report.md' for a folder, but that is the run's report; give another"):
        artifacts.write(Path(local.settings.home.run(run_id)), "report.md/part.md", "hello")


def test_bytes_are_a_result(local: LocalSagaflow) -> None:
    """A result that JSON has no form for is DONE as well, and delivered."""
    assert only_entry(local, local.launch("endings", how="bytes")) == ("DONE", "some bytes")


@pytest.mark.parametrize(("how", "who"), [("exit", "workflow"), ("leaving", "step")])
def test_sys_exit_ends_the_run_and_not_the_worker(local: LocalSagaflow, how: str, who: str) -> None:
    """`sys.exit()` in a skill's code is a failure of that run; the worker goes on with all the others."""
    local.wait(local.launch("endings", how="return"))
    before = local.pid("worker")
    status, summary = only_entry(local, local.launch("endings", how=how))
    assert (status, summary) == ("FAILED", f"SystemExit: the {who} left on purpose")
    assert local.pid("worker") == before


def test_a_step_that_kills_its_worker_ends_its_run_and_no_other(local: LocalSagaflow) -> None:
    """After a few deaths the step is given up; a run beside it goes on."""
    waiting = local.launch("endings", how="wait")
    run_id = local.launch("endings", how="deadly")
    assert local.wait(run_id, seconds=60).state == "FAILED"
    assert "the worker died 3 times during this step" in local.inbox(run_id)[0].summary
    with_client(local, lambda client: client.get_workflow_handle(waiting).signal("say", "enough"))
    assert local.wait(waiting).state == "DONE"


def test_a_401_in_mid_run_is_failed_at_once(local: LocalSagaflow) -> None:
    """A key that the provider refuses ends the run with one call, and the sentence names the way out."""
    local.model.add(
        Rule(
            match="planted-prompt-word",
            error=Error(status=401, type="authentication_error", message="invalid x-api-key"),
            times=1,
        )
    )
    before = len(local.model.requests)
    status, summary = only_entry(local, local.launch("endings", how="model"))
    assert status == "FAILED"
    assert "401" in summary
    assert "ANTHROPIC_API_KEY" in summary
    assert len(local.model.requests) == before + 1


def test_a_cancelled_run_is_cancelled_and_its_model_call_stops(local: LocalSagaflow) -> None:
    """Cancelling a run ends the connection of the model call in flight."""
    local.model.add(Rule(match="planted-prompt-word", reply="never", hold="for ever", times=1))
    before = len(local.model.requests)
    run_id = local.launch("endings", how="model")
    local.model.wait_for_requests(before + 1, seconds=20)
    with_client(local, lambda client: client.get_workflow_handle(run_id).cancel())
    status, _ = only_entry(local, run_id)
    assert status == "CANCELLED"
    local.model.wait_for_requests(1, seconds=20, outcome="client went away")


def test_a_run_terminated_from_outside_is_terminated(local: LocalSagaflow) -> None:
    """`temporal workflow terminate` is an ending like any other, with its reason."""
    run_id = local.launch("endings", how="wait")
    address = engine_client.ready(local.settings.home)
    command = [temporal_server.binary(), "workflow", "terminate", "--address", address, "--workflow-id", run_id]
    subprocess.run(
        [*command, "--reason", "enough of it"], check=True, capture_output=True, env={"HOME": str(local.folder)}
    )
    assert only_entry(local, run_id) == ("TERMINATED", "enough of it")


def test_a_run_over_its_execution_timeout_is_timed_out(local: LocalSagaflow) -> None:
    """A run that takes longer than it may is TIMED_OUT."""
    run_id = local.launch("endings", timeout=timedelta(seconds=1), how="wait")
    status, summary = only_entry(local, run_id)
    assert status == "TIMED_OUT"
    assert "execution timeout" in summary


def test_await_exits_1_with_the_sentence_of_the_entry(local: LocalSagaflow) -> None:
    """`launch --await` of a run that fails says what the inbox says."""
    command = [sys.executable, "-m", "sagaflow_mcp", "launch", "endings", "--how", "raise", "--await"]
    done = subprocess.run(
        command, env=local.environment(), capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("RuntimeError: the workflow broke on purpose")
    assert "Traceback" not in done.stderr


def test_launching_a_chosen_id_again_attaches_or_refuses(local: LocalSagaflow) -> None:
    """The same id with the same arguments is the same run; with others, or after a failure, it is refused."""
    assert local.launch("endings", run_id="twice", how="wait") == local.launch("endings", run_id="twice", how="wait")
    with pytest.raises(Exception, match="open with another skill, other arguments or other allowed tools"):
        local.launch("endings", run_id="twice", how="raise")
    with_client(local, lambda client: client.get_workflow_handle("twice").signal("say", "enough"))
    assert only_entry(local, "twice") == ("DONE", "heard ['enough']")
    assert local.launch("endings", run_id="twice", how="wait") == "twice"
    assert len(local.inbox("twice")) == 1
    # The marker goes last: whoever dies between the two delivers once more, which changes nothing.
    waiting.eventually(lambda: not markers.exists(local.settings.home, "twice"))
