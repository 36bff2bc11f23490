"""A run that has failed goes on, and nothing that is finished is done again."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from sagaflow_mcp import answering, artifacts, faces, keys, markers, records, retrying, runs, steering
from sagaflow_mcp.durable.open_runs import OpenRuns
from sagaflow_mcp.errors import Failure, Refusal
from sagaflow_mcp.testing import Error, LocalSagaflow, Rule, ToolUse
from tests import waiting
from tests.integration.clients import in_process, with_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from temporalio.client import Client

    from sagaflow_mcp.paths import Home

BAD_KEY = Error(status=401, type="authentication_error", message="invalid x-api-key")
SKILLS = Path(__file__).parent / "skills"

DISCUSSED = '''\
"""Asks a person, then a model, in a lane beside a child that fails."""

import asyncio

from sagaflow_mcp import Context, skill


@skill("discussed")
async def discussed(ctx: Context) -> list[object]:
    """What came of it."""
    answer = await ctx.ask("Which colour?")
    return [answer, *await asyncio.gather(ctx.child("lanes", lanes=2, steps=2), ctx.prompt("last"))]
'''


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSagaflow]:
    """A Sagaflow whose skills can be edited."""
    folder = tmp_path_factory.mktemp("skills")
    for name in ("lanes", "team", "endings", "minder"):
        shutil.copytree(SKILLS / name, folder / name)
    shutil.copytree(folder / "lanes", folder / "discussed")
    (folder / "discussed" / "__init__.py").write_text(DISCUSSED, encoding="utf-8")
    with LocalSagaflow(skills=[folder]) as started:
        yield started


def retry(local: LocalSagaflow, run_id: str) -> None:
    """Have the run go on."""
    anyio.run(lambda: retrying.retry(local.settings, run_id, face=faces.CLI))


def with_current(local: LocalSagaflow, run_id: str) -> str:
    """The run that goes on from it with the skill as it is now."""
    return anyio.run(lambda: retrying.with_current(local.settings, run_id, face=faces.CLI)).run_id


def told(local: LocalSagaflow, run_id: str) -> runs.Run:
    """The run once it has ended, and its worker is done with its folder and its marker too, which comes later."""
    run = local.wait(run_id)
    waiting.eventually(lambda: not markers.exists(local.settings.home, run_id), "the ending told")
    return run


def asked(local: LocalSagaflow, before: int) -> list[str]:
    """What the model was asked since there were `before` requests, in order of the alphabet."""
    return sorted(str(each.body["messages"][-1]["content"]) for each in local.model.requests[before:])


def statuses(local: LocalSagaflow, run_id: str) -> list[str]:
    """Of the run's unread entries, newest first."""
    return [entry.status for entry in local.inbox(run_id)]


def test_a_run_that_failed_in_one_of_many_branches_makes_the_missing_calls_alone(local: LocalSagaflow) -> None:
    """Of 20 branches one fails at step 9 of 10, for a bad key; its siblings' steps are not asked again."""
    local.model.replace(Rule(match="Lane 7, step 9", error=BAD_KEY, times=1), Rule(reply="ok"))
    before = len(local.model.requests)
    run_id = local.launch("lanes", steps=10)
    failed = local.wait(run_id)
    assert (failed.state, len(local.model.requests) - before) == ("FAILED", 199)
    before = len(local.model.requests)
    retry(local, run_id)
    done = local.wait(run_id)
    assert (done.state, done.result, asked(local, before)) == ("DONE", 20, ["Lane 7, step 10.", "Lane 7, step 9."])
    assert statuses(local, run_id) == ["DONE", "FAILED"]
    assert Path(done.report_path).read_text(encoding="utf-8") == f"# {run_id}: DONE\n\n20\n"


def test_every_branch_that_failed_is_tried_again(local: LocalSagaflow) -> None:
    """Three branches fail at different steps: a retry begins with the first of them, and pays for what is missing."""
    failing = [
        Rule(match=f"Lane {lane}, step {step}", error=BAD_KEY, times=1) for lane, step in ((1, 3), (4, 1), (5, 2))
    ]
    local.model.replace(*failing, Rule(reply="ok"))
    run_id = local.launch("lanes", lanes=6, steps=3)
    assert local.wait(run_id).state == "FAILED"
    before = len(local.model.requests)
    retry(local, run_id)
    assert local.wait(run_id).state == "DONE"
    missing = [(1, 3), (4, 1), (4, 2), (4, 3), (5, 2), (5, 3)]
    assert asked(local, before) == [f"Lane {lane}, step {step}." for lane, step in missing]


def test_a_run_whose_ending_is_not_told_yet_is_retried_once_it_is(local: LocalSagaflow) -> None:
    """Until then the run is still marked as open by its first launch, which is not another retry."""
    local.model.replace(Rule(match="Lane 0, step 1", error=BAD_KEY, times=1), Rule(reply="ok"))
    run = told(local, local.launch("lanes", lanes=1, steps=1))
    run_id, home = run.run_id, local.settings.home
    about = artifacts.read_json(Path(run.run_dir) / "run.json") or {}
    launched = records.OpenRun(run_id, run.skill, about["digest"], run.project_dir, run.created_at, "")
    assert markers.claim(home, launched)
    retry(local, run_id)
    assert local.wait(run_id).state == "DONE"
    assert statuses(local, run_id) == ["DONE", "FAILED"]


def test_a_retry_does_not_wait_for_ever_for_an_ending_to_be_told(
    local: LocalSagaflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no worker gets to it in time it says so, and the run can be retried afterwards."""
    local.model.replace(Rule(match="Lane 0, step 1", error=BAD_KEY, times=1), Rule(reply="ok"))
    run_id = told(local, local.launch("lanes", lanes=1, steps=1)).run_id
    with monkeypatch.context() as patch:
        patch.setattr(markers, "claim", lambda *_: False)  # Stands for the marker of the first launch, still there.
        patch.setattr(retrying, "TOLD_SECONDS", 0.0)
        with pytest.raises(Failure, match=r"its ending has not come into the inbox within 0 s; try again"):
            retry(local, run_id)
    assert runs.get(local.settings.home, run_id).state == "FAILED"
    retry(local, run_id)
    assert local.wait(run_id).state == "DONE"


def test_the_current_version_pays_for_the_edited_step_alone(local: LocalSagaflow) -> None:
    """An edit to the last step's prompt, after it has failed, costs that step; the new run names its parent."""
    local.model.replace(Rule(match="The last one", error=BAD_KEY, times=1), Rule(reply="ok"))
    run_id = local.launch("lanes", lanes=3, steps=3, last=True)
    assert local.wait(run_id).state == "FAILED"
    before = len(local.model.requests)
    prompt = local.settings.environ["SAGAFLOW_SKILLS_PATH"] + "/lanes/prompts/last.user.md"
    Path(prompt).write_text("The very last one.", encoding="utf-8")
    new = with_current(local, run_id)
    done = local.wait(new)
    assert (done.state, asked(local, before)) == ("DONE", ["The very last one."])
    about = artifacts.read_json(Path(done.run_dir) / "run.json") or {}
    assert (about["parent"], about["ancestors"]) == (run_id, [run_id])
    assert runs.get(local.settings.home, run_id).state == "FAILED"


def test_a_run_goes_on_from_one_that_went_on_from_another(local: LocalSagaflow) -> None:
    """What the first has done is not paid for again by the third."""
    local.model.replace(Rule(match="last one", error=BAD_KEY, times=2), Rule(reply="ok"))
    first = local.launch("lanes", lanes=2, steps=2, last=True)
    assert local.wait(first).state == "FAILED"
    second = with_current(local, first)
    assert local.wait(second).state == "FAILED"
    before = len(local.model.requests)
    third = with_current(local, second)
    assert local.wait(third).state == "DONE"
    assert len(asked(local, before)) == 1


def test_an_agent_goes_on_with_its_conversation(local: LocalSagaflow) -> None:
    """A turn fails: a retry asks for that turn alone, and so does a new run, which is told all that was said."""
    local.model.replace(
        Rule(match="(?m)^Mind", tools=(ToolUse(name="glob", input={"pattern": "*"}),)),
        Rule(match="no file fits", error=BAD_KEY, times=2),
        Rule(match="no file fits", reply="minded"),
    )
    run_id = local.launch("minder")
    assert local.wait(run_id).state == "FAILED"
    before = len(local.model.requests)
    retry(local, run_id)
    assert local.wait(run_id).state == "FAILED"
    new = with_current(local, run_id)
    assert local.wait(new).result == "minded"
    first, second = local.model.requests[before:]
    assert first.body["messages"] == second.body["messages"]
    assert len(first.body["messages"]) == 3


def test_answers_and_children_that_ended_are_kept(local: LocalSagaflow) -> None:
    """A person is not asked again, and a child that was under way beside the failure does its finished steps once."""
    local.model.replace(
        Rule(match="Lane 0, step 2", reply="ok", hold="child", times=1),
        Rule(match="last one", error=BAD_KEY, hold="failure", times=1),
        Rule(reply="ok"),
    )
    launched = len(local.model.requests)
    run_id = local.launch("discussed")
    waiting.eventually(lambda: runs.get(local.settings.home, run_id).questions)
    anyio.run(answering.answer, local.settings, run_id, "blue")
    waiting.eventually(lambda: "Lane 0, step 2." in asked(local, launched))
    local.model.release("failure")
    assert local.wait(run_id).state == "FAILED"
    local.model.release("child")
    before = len(local.model.requests)
    retry(local, run_id)
    done = local.wait(run_id)
    assert (done.state, done.result[:2]) == ("DONE", ["blue", 2])
    again = asked(local, before)
    assert again[-1] == "The last one."
    assert "Lane 0, step 1." not in again


def test_a_worker_that_dies_while_a_retry_is_under_way_is_followed_by_one_that_knows_the_skill(
    local: LocalSagaflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next worker starts while the run is not open at Temporal yet, and so does not take its skill by itself."""
    local.model.replace(Rule(match="Lane 0, step 1", error=BAD_KEY, times=1), Rule(reply="ok"))
    run_id = local.launch("lanes", lanes=1, steps=1)
    assert local.wait(run_id).state == "FAILED"
    claim = markers.claim

    def late(home: Home, marker: records.OpenRun) -> bool:
        """Mark the run, once another worker has taken over."""
        local.kill_worker()
        return claim(home, marker)

    monkeypatch.setattr(markers, "claim", late)
    retry(local, run_id)
    assert local.wait(run_id).state == "DONE"


async def killed(*_: object) -> None:
    """Stands for what a killed command does no more."""
    raise Failure("killed")


@pytest.mark.parametrize("how", ["terminated", "cancelled", "timed out"])
def test_a_run_that_was_ended_from_outside_goes_on(local: LocalSagaflow, how: str) -> None:
    """It waits where it had waited."""
    limit = timedelta(seconds=2) if how == "timed out" else None
    run_id = local.launch("endings", how="wait", timeout=limit)
    if how == "cancelled":
        with_client(local, lambda client: client.get_workflow_handle(run_id).cancel())
    if how == "terminated":
        anyio.run(lambda: steering.cancel(local.settings, run_id, force=True))
    assert local.wait(run_id).state == how.upper().replace(" ", "_")
    retry(local, run_id)
    with_client(local, lambda client: client.get_workflow_handle(run_id).signal("say", "enough"))
    assert local.wait(run_id).result == "heard ['enough']"


@pytest.mark.parametrize("is_cut_off", [False, True])
def test_a_paused_run_that_was_terminated_goes_on_unpaused(
    local: LocalSagaflow, monkeypatch: pytest.MonkeyPatch, *, is_cut_off: bool
) -> None:
    """A retry lifts the pause: it is asked for by somebody who wants the run to go on.

    One that is killed before it does so leaves a paused run, which can be resumed.
    """
    local.model.replace(Rule(match="Lane 0, step 1", reply="ok", hold="first", times=1), Rule(reply="ok"))
    before = len(local.model.requests)
    run_id = local.launch("lanes", lanes=1, steps=2)
    local.model.wait_for_requests(before + 1)
    anyio.run(steering.pause, local.settings, run_id)
    local.model.release("first")
    waiting.eventually(lambda: runs.get(local.settings.home, run_id).progress.steps_finished == 1)
    anyio.run(lambda: steering.cancel(local.settings, run_id, force=True))
    if is_cut_off:
        with monkeypatch.context() as patch:
            patch.setattr(steering, "resume", killed)
            with pytest.raises(Failure, match="is paused as it had been: killed"):
                retry(local, run_id)
        assert runs.get(local.settings.home, run_id).state == "PAUSED"
        anyio.run(steering.resume, local.settings, run_id)
    else:
        retry(local, run_id)
    assert local.wait(run_id).state == "DONE"


def test_a_retry_whose_command_died_too_early_leaves_no_run_open_for_ever(local: LocalSagaflow) -> None:
    """It was killed between its marker and the reset: long after, the marker is known to be nobody's."""
    local.model.replace(Rule(match="Lane 0, step 1", error=BAD_KEY, times=1), Rule(reply="ok"))
    run_id = local.launch("lanes", lanes=1, steps=1)
    closed_at = datetime.fromisoformat(local.wait(run_id).closed_at)
    home = local.settings.home
    marker = records.OpenRun(run_id, "lanes", "", "", (closed_at + timedelta(milliseconds=1)).isoformat(), "")

    async def looks(client: Client) -> list[bool]:
        """Whether it is taken for nobody's at once, and later."""
        looked = OpenRuns(client, home, keys.KeyRing.of(home).home_id)
        now = datetime.now(UTC)
        found = [await looked.overdue(marker, each) for each in (now, now + timedelta(minutes=2))]
        return [bool(each and each.is_left) for each in found]

    assert with_client(local, looks) == [False, True]


def test_what_cannot_be_retried_is_refused_in_a_sentence(local: LocalSagaflow) -> None:
    """A run that is open or done, one that there is none of, and one whose version of the skill is gone."""
    local.model.replace(Rule(match="Lane 0, step 2", error=BAD_KEY, times=1), Rule(reply="ok"))
    done, failed = local.launch("lanes", lanes=1, steps=1), local.launch("lanes", lanes=1, steps=2)
    local.wait(done)
    local.wait(failed)
    waits = local.launch("endings", how="wait")
    for run_id, sentence in {
        done: "is DONE; there is nothing to retry",
        waits: "has not ended",
        "none": "there is no run 'none'",
    }.items():
        with pytest.raises(Refusal, match=sentence):
            retry(local, run_id)
        with pytest.raises(Refusal, match=sentence):
            with_current(local, run_id)
    shutil.rmtree(Path(local.settings.home.skills) / "lanes")
    with pytest.raises(Refusal, match=r"is gone: .* retry with --with-current"):
        retry(local, failed)
    assert runs.get(local.settings.home, failed).state == "FAILED"
    assert local.wait(with_current(local, failed)).state == "DONE"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.json", "{"),
        ("run.json", '{"skill": 5}'),
        ("ending.json", '{"status": "FAILED"}'),
        ("ending.json", '{"status": "FAILED", "closed_at": [1]}'),
        ("ending.json", '{"status": ["FAILED"], "closed_at": "2030-01-31T08:15:00Z"}'),
        ("ending.json", ""),
    ],
)
def test_a_run_whose_folder_is_damaged_is_not_retried(local: LocalSagaflow, name: str, text: str) -> None:
    """It is refused in a sentence that names the way out, whichever file no longer says what is needed."""
    local.model.replace(Rule(error=BAD_KEY))
    run = told(local, local.launch("lanes", lanes=1, steps=1))
    assert run.state == "FAILED"
    run_id = run.run_id
    Path(run.run_dir, name).write_text(text, encoding="utf-8")
    for act in (retry, with_current):
        with pytest.raises(Refusal, match=r"is gone or damaged; launch the skill again"):
            act(local, run_id)
    shown = in_process(local, "show", run_id)
    assert (shown.returncode, "next     its files are damaged; launch the skill again\n" in shown.stdout) == (0, True)
    assert run_id in in_process(local, "runs").stdout
