"""A run is held up, let go on and ended from outside, whatever form its skill has."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from temporalio.api.enums.v1 import PendingActivityState

from sagaflow_mcp import artifacts, engine_client, inbox, launch, pauses, runs, steering
from sagaflow_mcp.durable import context
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.testing import Error, LocalSagaflow, Rule, ToolUse
from tests import process_table, waiting
from tests.integration import clients

if TYPE_CHECKING:
    from collections.abc import Iterator

    from temporalio.client import Client

WAITING = PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED


@pytest.fixture(scope="module")
def local() -> Iterator[LocalSagaflow]:
    """A Sagaflow with skills of every form."""
    with LocalSagaflow(skills=[Path(__file__).parent / "skills"]) as started:
        yield started


def pause(local: LocalSagaflow, run_id: str) -> None:
    """Hold the run up."""
    anyio.run(steering.pause, local.settings, run_id)


def resume(local: LocalSagaflow, run_id: str) -> None:
    """Let it go on."""
    anyio.run(steering.resume, local.settings, run_id)


def cancel(local: LocalSagaflow, run_id: str, *, force: bool = False) -> steering.Cancelled:
    """End it."""
    return anyio.run(lambda: steering.cancel(local.settings, run_id, force=force))


def state(local: LocalSagaflow, run_id: str) -> str:
    """As it is listed."""
    return runs.get(local.settings.home, run_id).state


def held(local: LocalSagaflow, workflow_id: str) -> int | None:
    """How many steps of a workflow workers have held back, once nothing else of it is under way; None before that."""

    async def look(client: Client) -> int | None:
        """What Temporal says of it now."""
        found = (await client.get_workflow_handle(workflow_id).describe()).raw_description
        steps = found.pending_activities
        are_held = all(
            each.state == WAITING and each.last_failure.application_failure_info.type == context.PAUSED
            for each in steps
        )
        is_quiet = are_held and not found.HasField("pending_workflow_task")
        return len(steps) if is_quiet else None

    found: int | None = clients.with_client(local, look)
    return found


def quiet(local: LocalSagaflow, *workflow_ids: str) -> int:
    """How many steps workers hold back, once nothing of these workflows is under way."""

    def look() -> list[int] | None:
        """At all of them."""
        found = [held(local, each) for each in workflow_ids]
        return None if None in found else [each for each in found if each is not None]

    return sum(waiting.eventually(look, "nothing is under way"))


def kill_everything(local: LocalSagaflow) -> None:
    """Kill engine, server and worker, as a loss of power does, and start again."""
    status = engine_client.status(local.settings.home)
    assert status
    pids = [status["keeper"], status["pid"], local.pid("server"), local.pid("worker")]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    waiting.eventually(lambda: all(map(process_table.is_gone, pids)), "all are gone")
    engine_client.ready(local.settings.home, environ=local.settings.for_engine())


def asked(local: LocalSagaflow, before: int) -> list[str]:
    """What the model was asked since there were `before` requests, in order of the alphabet."""
    return sorted(str(each.body["messages"][-1]["content"]) for each in local.model.requests[before:])


def entries(local: LocalSagaflow, run_id: str) -> list[tuple[str, bool]]:
    """The statuses of the run's inbox entries, newest first, with whether they were dismissed."""
    return [(entry.status, dismissed) for entry, dismissed in inbox.for_run(local.settings.home, run_id)]


def paused_lanes(local: LocalSagaflow) -> str:
    """A run of parallel prompts that stands still: those in flight have ended, four wait, one of them in back-off."""
    local.model.add(
        Rule(match="Lane 3, step 1", error=Error(), times=1),
        Rule(match=r"Lane \d+, step 1", reply="ok", hold="lanes"),
        Rule(match=r"Lane \d+, step 2", reply="ok"),
    )
    before = len(local.model.requests)
    run_id = local.launch("lanes")
    # As many as a worker asks at the same time, and the one that is refused.
    local.model.wait_for_requests(before + 17, seconds=30)
    pause(local, run_id)
    started = len(local.model.requests)
    with pytest.raises(Refusal, match="is paused already, since 2"):
        pause(local, run_id)
    local.model.release("lanes")
    assert quiet(local, run_id) == 4
    assert len(local.model.requests) == started
    return run_id


def paused_agent(local: LocalSagaflow) -> str:
    """A run of a SKILL.md alone that stands still: its turn has ended, and its tool is not used yet."""
    local.model.add(
        Rule(match="Mind the notes", tools=(ToolUse(name="glob", input={"pattern": "*"}),), hold="turn", times=1),
        Rule(match="no file fits", reply="minded"),
    )
    before = len(local.model.requests)
    run_id = local.launch("minder")
    local.model.wait_for_requests(before + 1, seconds=30)
    pause(local, run_id)
    local.model.release("turn")
    waiting.eventually(lambda: runs.get(local.settings.home, run_id).progress.steps_finished == 1)
    quiet(local, run_id)
    assert len(local.model.requests) == before + 1
    return run_id


def paused_team(local: LocalSagaflow) -> tuple[str, str]:
    """A run of a workflow, and its child: both stand still after their first steps."""
    local.model.add(Rule(match="first$", reply="one", hold="team"), Rule(match="second$", reply="two"))
    before = len(local.model.requests)
    run_id = local.launch("team", what="ask")
    local.model.wait_for_requests(before + 2, seconds=30)
    child = clients.with_client(local, lambda client: only_child(client, run_id))
    pause(local, run_id)
    local.model.release("team")
    waiting.eventually(lambda: runs.get(local.settings.home, run_id).progress.steps_finished == 2)
    assert quiet(local, run_id, child) == 0
    return run_id, child


def test_runs_of_every_form_stand_still_over_a_kill_of_everything(local: LocalSagaflow) -> None:
    """Lanes, an agent, a workflow and its child: nothing is begun before they are resumed, and nothing is repeated."""
    before = len(local.model.requests)
    lanes = paused_lanes(local)
    agent = paused_agent(local)
    team, child = paused_team(local)
    started = len(local.model.requests)
    kill_everything(local)
    assert (state(local, lanes), entries(local, lanes)) == ("PAUSED", [("PAUSED", False)])
    with pytest.raises(Refusal, match="is paused already"):
        pause(local, lanes)
    assert quiet(local, lanes) == 4
    assert state(local, agent) == "PAUSED"
    quiet(local, agent)
    assert runs.get(local.settings.home, agent).progress.steps_finished == 1
    assert state(local, team) == "PAUSED"
    assert quiet(local, team, child) == 0
    assert len(local.model.requests) == started

    resume(local, lanes)
    assert (local.wait(lanes).state, entries(local, lanes)) == ("DONE", [("DONE", False), ("PAUSED", True)])
    wanted = [f"Lane {lane}, step {step}." for lane in range(20) for step in (1, 2)]
    found = [each for each in asked(local, before) if each.startswith("Lane ")]
    assert found == sorted([*wanted, "Lane 3, step 1."])

    resumed = len(local.model.requests)
    resume(local, agent)
    assert local.wait(agent).result == "minded"
    assert len(local.model.requests) == resumed + 1

    # What is launched meanwhile begins its steps, and the workflow and its child not even one that writes a file.
    assert local.wait(local.launch("lanes", lanes=1, steps=1)).state == "DONE"
    folder = Path(local.settings.home.run(team))
    assert (folder / "child-first.prompt.md").exists()
    assert not (folder / "child.md").exists()
    resume(local, team)
    assert local.wait(team).result == ["one, two", "one, two"]


@pytest.mark.parametrize("round_", range(3))
def test_what_two_people_do_to_a_run_at_once_is_done_one_after_the_other(local: LocalSagaflow, round_: int) -> None:
    """However they meet, the run is what it is listed as, and no entry is left that says otherwise."""
    run_id = local.launch("team", what="tidy")
    acts = [steering.pause, steering.resume] * 3

    async def at_once() -> None:
        """Of those that come too late each says so."""

        async def act(number: int) -> None:
            """One of them."""
            with suppress(Refusal):
                await acts[(number + round_) % len(acts)](local.settings, run_id)

        async with anyio.create_task_group() as group:
            for number in range(len(acts)):
                group.start_soon(act, number)

    anyio.run(at_once)
    is_paused = state(local, run_id) == "PAUSED"
    assert [status for status, dismissed in entries(local, run_id) if not dismissed] == ["PAUSED"] * is_paused
    changed = clients.with_client(local, lambda _: steering._hold(local.settings, run_id, shut=is_paused))  # noqa: SLF001 - what the workflow itself says
    assert not changed
    cancel(local, run_id)
    assert [status for status, dismissed in entries(local, run_id) if not dismissed] == ["CANCELLED"]


def test_a_pause_whose_command_died_too_early_is_told_of_by_the_next(local: LocalSagaflow) -> None:
    """It was killed once the run was held: the inbox says that it is paused all the same."""
    run_id = local.launch("team", what="tidy")
    pauses.put(Path(local.settings.home.run(run_id)))
    clients.with_client(local, lambda _: steering._hold(local.settings, run_id, shut=True))  # noqa: SLF001 - half a pause
    with pytest.raises(Refusal, match="is paused already"):
        pause(local, run_id)
    assert entries(local, run_id) == [("PAUSED", False)]
    cancel(local, run_id)


async def only_child(client: Client, run_id: str) -> str:
    """The id of the run's child."""
    found = await client.get_workflow_handle(run_id).describe()
    (child,) = found.raw_description.pending_children
    return child.workflow_id


def test_what_is_not_paused_is_not_resumed(local: LocalSagaflow) -> None:
    """An action that does nothing says so, also of a run that has ended."""
    run_id = local.launch("team", what="tidy")
    with pytest.raises(Refusal, match="is not paused; it is RUNNING"):
        resume(local, run_id)
    cancel(local, run_id)
    for act in (pause, resume, cancel):
        with pytest.raises(Refusal, match=rf"has ended \(CANCELLED\); there is nothing to {act.__name__}$"):
            act(local, run_id)
    with pytest.raises(Refusal, match="there is no run 'no-such-run'"):
        pause(local, "no-such-run")


def test_a_paused_run_that_is_cancelled_cleans_up(local: LocalSagaflow) -> None:
    """The gate opens for what it does on its way out, and nothing is left of the pause."""
    run_id = local.launch("team", what="tidy")
    pause(local, run_id)
    found = cancel(local, run_id)
    assert (found.run.state, found.again) == ("CANCELLED", False)
    run_dir = Path(local.settings.home.run(run_id))
    assert (run_dir / "tidied.md").exists()
    assert not (run_dir / artifacts.PAUSED).exists()
    assert entries(local, run_id) == [("CANCELLED", False), ("PAUSED", True)]


@pytest.mark.parametrize("what", ["dawdle", "dawdle_in_thread"])
def test_a_step_without_heartbeats_hears_of_a_cancellation(local: LocalSagaflow, tmp_path: Path, what: str) -> None:
    """A skill's own step that never heartbeats is cancelled with its run, asynchronous or in a thread."""
    word = tmp_path / "word"
    run_id = local.launch("team", what=what, file=str(word))
    waiting.eventually(Path(f"{word}.begun").exists)
    assert cancel(local, run_id).run.state == "CANCELLED"
    waiting.eventually(lambda: word.exists() and word.read_text(encoding="utf-8") == "cancelled")


def test_a_cancelled_agents_command_is_ended(local: LocalSagaflow, tmp_path: Path) -> None:
    """The process that an agent has started is gone once the run is."""
    pid_file = tmp_path / "pid"
    command = f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; sleep 600"
    local.model.add(Rule(match="Sleep on it", tools=(ToolUse(name="bash", input={"command": command}),), times=1))
    request = launch.Request("task", {"task": "Sleep on it"}, allow=("bash",), project_dir=str(tmp_path))
    run_id = anyio.run(launch.launch, local.settings, request).run_id
    waiting.eventually(pid_file.exists)
    pid = int(pid_file.read_text(encoding="utf-8"))
    assert cancel(local, run_id).run.state == "CANCELLED"
    waiting.eventually(lambda: process_table.is_gone(pid))


def test_a_run_that_ignores_its_cancellation_is_told_of_and_ended_by_force(
    local: LocalSagaflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second one says that it was asked before; force ends it at once, as terminated."""
    monkeypatch.setattr(steering, "CLEAN_UP_SECONDS", 0.5)
    run_id = local.launch("team", what="ignore")
    first, second = cancel(local, run_id), cancel(local, run_id)
    assert [(each.run.state, each.again) for each in (first, second)] == [("RUNNING", False), ("RUNNING", True)]
    monkeypatch.undo()
    assert cancel(local, run_id, force=True).run.state == "TERMINATED"
