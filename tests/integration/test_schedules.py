"""Runs that are launched at their time, and what is told of those that were not."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from temporalio.client import ScheduleUpdate

from sagaflow_mcp import (
    engine_client,
    keys,
    launch,
    records,
    refused,
    runs,
    schedule_files,
    schedule_launches,
    schedule_server,
    schedules,
    waking,
)
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.schedules import Wanted
from sagaflow_mcp.settings import Settings
from sagaflow_mcp.testing import LocalSagaflow
from tests.integration.clients import in_process, with_client
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from temporalio.client import Client, ScheduleUpdateInput

    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.records import Entry

SKILL = '''
from sagaflow_mcp import skill

@skill("timed")
async def timed(ctx, how: str = "end") -> str:
    """Ends at once, or asks."""
    if how == "ask":
        await ctx.ask("Go on?", options=["yes"])
    return "EDITION"
'''

SECONDS = 5
"""How often the schedules here are due, as others are each minute."""

DOWN = 9
"""At how many of these times the engine is down."""

CATCH_UP = 20
"""How late a launch may be, in seconds: some of those are still in time afterwards."""


@pytest.fixture(scope="module")
def skills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one skill."""
    folder = tmp_path_factory.mktemp("skills")
    (folder / "timed").mkdir()
    (folder / "timed" / "workflow.py").write_text(SKILL, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def local(skills: Path) -> Iterator[LocalSagaflow]:
    """A Sagaflow with that skill."""
    with LocalSagaflow(skills=[skills]) as started:
        yield started


@pytest.fixture(autouse=True)
def none_left(local: LocalSagaflow) -> Iterator[None]:
    """No schedule is left to launch something in the next test, also where one has failed."""
    yield
    for each in schedule_files.listing(local.settings.home):
        schedule_files.remove(local.settings.home, each.name)


def add(local: LocalSagaflow, name: str, *, how: str = "end", overlap: str = "skip", **more: str) -> None:
    """Make a schedule that is due every few seconds."""
    given = {"cron": f"@every {SECONDS}s", "catch-up": f"{CATCH_UP}s", "overlap": overlap, **more}
    options = [word for option, value in given.items() for word in (f"--{option}", value)]
    done = in_process(local, "schedule", "add", name, "timed", *options, "--how", how)
    assert done.returncode == 0, done.stderr


def launched(local: LocalSagaflow, name: str) -> list[str]:
    """The runs of the schedule, oldest first."""
    return sorted(each.name for each in Path(local.settings.home.runs).glob(f"{name}-*"))


def notes(local: LocalSagaflow, name: str) -> list[Entry]:
    """What is told of the schedule itself."""
    return local.inbox(f"schedule.{name}")


def moments(run_ids: list[str]) -> set[datetime]:
    """When these were due."""
    return {schedule_server.moment(run_id[-15:]) for run_id in run_ids}


def told(entries: list[Entry]) -> list[datetime]:
    """The times that the entries name."""
    found = [at for each in entries for at in re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", each.summary)]
    return [datetime.fromisoformat(at).replace(tzinfo=UTC) for at in found]


def test_after_the_engine_was_down_what_is_in_time_is_launched_and_the_rest_is_told_once(
    local: LocalSagaflow,
) -> None:
    """Each time that was due is one or the other, and no later start of a worker tells it again."""
    home = local.settings.home
    add(local, "tick", overlap="allow")
    first, *_ = eventually(lambda: launched(local, "tick"), "it launches")
    local.wait(first)
    engine_client.stop(home)
    stopped = time.time()
    eventually(lambda: time.time() > stopped + DOWN * SECONDS, "times pass", seconds=2 * DOWN * SECONDS)
    before = launched(local, "tick")
    # As where the engine ended before it was written down.
    with contextlib.suppress(FileNotFoundError):  # It was so.
        schedule_files.drop_record(home, "tick", first.removeprefix("tick-"))
    up = datetime.now(UTC)
    # As the next session does, or the next command.
    assert waking.wake_open_runs(home, local.environment()) is None
    eventually(lambda: notes(local, "tick"), "what was missed is told", seconds=60)
    after = launched(local, "tick")
    missed = told(notes(local, "tick"))
    assert len(missed) == len(set(missed)) >= DOWN - CATCH_UP // SECONDS - 1
    caught_up = {each for each in moments(after) - moments(before) if each < up}
    assert len(caught_up) >= 2
    assert all(up - each <= timedelta(seconds=CATCH_UP) for each in caught_up)
    assert max(missed) < min(caught_up)
    assert not moments(after) & set(missed)
    every = sorted(moments(after) | set(missed))
    assert {later - earlier for earlier, later in itertools.pairwise(every)} == {timedelta(seconds=SECONDS)}
    assert all(local.wait(each).result == "EDITION" for each in after)

    os.kill(local.pid("worker"), signal.SIGKILL)
    newest = launched(local, "tick")[-1]
    eventually(lambda: len([each for each in launched(local, "tick") if each > newest]) > 6, "it goes on", seconds=90)
    # On a busy machine its successor may come too late for some, which are then told as well.
    again = told(notes(local, "tick"))
    assert set(missed) <= set(again)
    assert len(again) == len(set(again))
    assert not moments(launched(local, "tick")) & set(again)
    assert in_process(local, "schedule", "remove", "tick").returncode == 0


@pytest.mark.parametrize("overlap", ["skip", "buffer", "cancel"])
def test_a_run_that_is_open_when_the_next_is_due(local: LocalSagaflow, overlap: str) -> None:
    """Nothing is launched, or one waits for its end, or it is cancelled; what is skipped is told once."""
    home, name = local.settings.home, f"over-{overlap}"
    add(local, name, how="ask", overlap=overlap)
    (first, *_) = eventually(lambda: launched(local, name), "it launches")
    if overlap == "cancel":
        eventually(lambda: len(launched(local, name)) > 1, "the next is launched")
        assert local.wait(first).state == "CANCELLED"
    else:
        eventually(lambda: notes(local, name), "it is told", seconds=60)
        assert launched(local, name) == [first]
        assert f"until run {first} has ended" in notes(local, name)[0].summary
    assert in_process(local, "schedule", "pause", name).returncode == 0
    if overlap == "buffer":
        assert in_process(local, "schedule", "resume", name).returncode == 0
        eventually(lambda: runs.get(home, first).questions, "it asks")
        assert in_process(local, "answer", first, "yes").returncode == 0
        eventually(lambda: len(launched(local, name)) > 1, "what waited is launched")
    assert len(notes(local, name)) == (overlap != "cancel")
    assert not [line for line in refused.listing(home) if "another run" in line], "nobody has sent anything"
    assert in_process(local, "schedule", "remove", name).returncode == 0
    assert not Path(home.schedule(name)).exists()


def test_each_run_gets_the_skill_as_it_is_then_and_a_failed_launch_is_told(local: LocalSagaflow, skills: Path) -> None:
    """Edited between two, and broken after that; a schedule that somebody has spoilt by hand holds up no other."""
    spoilt = schedule_files.Schedule("spoilt", "timed", {}, "never", "UTC", 60, "skip", "", [], "", records.now())
    schedule_files.add(local.settings.home, spoilt)
    path = skills / "timed" / "workflow.py"
    text = path.read_text(encoding="utf-8")
    add(local, "edited", overlap="allow")
    (first, *_) = eventually(lambda: launched(local, "edited"), "it launches")
    assert local.wait(first).result == "EDITION"
    path.write_text(text.replace("EDITION", "second"), encoding="utf-8")
    newest = launched(local, "edited")[-1]
    (second, *_) = eventually(lambda: [each for each in launched(local, "edited") if each > newest][1:], "the next")
    assert local.wait(second).result == "second"
    path.write_text("(", encoding="utf-8")
    try:
        failed = eventually(lambda: [each for each in local.inbox() if each.entry_id.endswith("~launch")], "it fails")
        assert {each.status for each in failed} == {"FAILED"}
        assert failed[-1].summary.startswith("schedule 'edited' (timed), due at ")
        assert "could not be launched: " in failed[-1].summary
        assert len({each.entry_id for each in failed}) == len(failed)
    finally:
        path.write_text(text, encoding="utf-8")
        assert in_process(local, "schedule", "remove", "edited").returncode == 0
        Path(local.settings.home.schedule("spoilt"), "schedule.json").write_text("{", encoding="utf-8")
        assert in_process(local, "schedule", "remove", "spoilt").returncode == 0
        assert in_process(local, "schedule", "remove", "spoilt").returncode == 1
    log = Path(local.settings.home.engine, "worker.log").read_text(encoding="utf-8")
    assert log.count("schedule spoilt cannot be looked after: ") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("x timed --cron 7", "'7' in 'UTC' is no time for a schedule"),
        ("x timed --cron @d\udcfflly", "is no cron expression"),
        ("x timed --cron @daily --timezone Mars/X", "'Mars/X' is no time zone"),
        ("X timed --cron @daily", "'X' is no name for a schedule"),
        ("x nothing --cron @daily", "nothing"),
        ("x timed --cron @daily --when now", "when"),
        ("x timed --cron @daily --catch-up 1", "--catch-up is '1'"),
        ("x timed", "--cron"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_made(local: LocalSagaflow, words: str, said: str) -> None:
    """And nothing is left of it."""
    done = in_process(local, "schedule", "add", *words.split())
    assert done.returncode in {1, 2}
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not Path(local.settings.home.schedule("x")).exists()


def test_without_a_key_that_somebody_need_not_bring_a_launch_says_how_to_have_one(home: Home) -> None:
    """A helper is one; what it says is used, whatever the environment has."""
    environ = {"SAGAFLOW_HOME": home.root, "HOME": home.root, "PATH": "/usr/bin:/bin", "ANTHROPIC_API_KEY": "k"}
    made = schedule_files.Schedule(
        "x", "hello-world", {"name": "alice"}, "@daily", "UTC", 3600, "skip", "", [], "", records.now()
    )
    asked = schedule_launches.request(made)
    with pytest.raises(Refusal, match=r"models\.api_key_helper of config\.toml"):
        launch.check(Settings.load(environ), asked)
    Path(home.config).write_text("[models]\napi_key_helper = 'echo k-2'\n", encoding="utf-8")
    launch.check(Settings.load(environ), asked)


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("0 7 * * 1-5 Europe/Berlin", ("0 7 * * 1-5", "Europe/Berlin")),
        ("0 7 * * MON-FRI", ("0 7 * * MON-FRI", "UTC")),
        ("@daily UTC", ("@daily", "UTC")),
        ("@every 2h", ("@every 2h", "UTC")),
        ("*/5 * * * *", ("*/5 * * * *", "UTC")),
        ("@daily Mars/X", ("@daily", "Mars/X")),
        ("", ("", "UTC")),
    ],
)
def test_times_and_zone_in_one_text(text: str, times: tuple[str, str]) -> None:
    """As the tool takes them."""
    assert schedules.parse_times(text) == times


def test_a_start_that_is_not_due_is_refused(local: LocalSagaflow) -> None:
    """Others of the machine reach the server: they can have it start what it has, or change when that is due."""
    home = local.settings.home
    add(local, "rare", cron="0 7 1 1 *")
    home_id = keys.KeyRing.of(home).home_id

    async def meddle(client: Client) -> None:
        """Trigger it, and have it due all the time."""

        def often(found: ScheduleUpdateInput) -> ScheduleUpdate:
            """The same, but every second."""
            schedule = found.description.schedule
            schedule.spec.calendars = []
            schedule.spec.cron_expressions = ["@every 1s"]
            return ScheduleUpdate(schedule)

        handle = client.get_schedule_handle(schedule_server.server_id(home_id, "rare"))
        await handle.trigger()
        await handle.update(often)

    with_client(local, meddle)
    log = Path(home.engine, "worker.log")
    eventually(lambda: "none of the schedule's" in log.read_text(encoding="utf-8"), "it is refused")
    eventually(lambda: "it is put right" in log.read_text(encoding="utf-8"), "it is put right", seconds=90)
    eventually(lambda: "01-01T07:00:00Z" in str(anyio.run(schedules.next_times, local.settings, "rare")[:1]))
    assert launched(local, "rare") == []
    now = in_process(local, "schedule", "run-now", "rare")
    assert now.returncode == 0, now.stderr
    assert local.wait(now.stdout.split()[-1]).result == "EDITION"
    assert in_process(local, "schedule", "remove", "rare").returncode == 0


def test_one_that_is_removed_while_it_is_made_is_nowhere(local: LocalSagaflow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever made it is told so, and Temporal keeps nothing of it."""
    home, create = local.settings.home, schedule_server.create

    async def meanwhile(client: Client, home_id: str, wanted: schedule_files.Schedule) -> str:
        """Make it, and have somebody else remove it just then."""
        made = await create(client, home_id, wanted)
        schedule_files.remove(home, wanted.name)
        return made

    monkeypatch.setattr(schedule_server, "create", meanwhile)
    done = in_process(local, "schedule", "add", "short", "timed", "--cron", "@yearly")
    assert (done.returncode, done.stderr) == (
        1,
        "sagaflow: schedule 'short' was removed by somebody else while it was made; add it again\n",
    )
    home_id = keys.KeyRing.of(home).home_id

    def is_known() -> bool:
        """Whether Temporal has it: a look of the worker may just have brought it there, which its next one ends."""
        return with_client(local, lambda client: schedule_server.described(client, home_id, "short")) is not None

    eventually(lambda: not is_known())
    assert not Path(home.schedule("short")).exists()


def test_an_active_schedule_keeps_the_engine_up(local: LocalSagaflow) -> None:
    """A paused one does not, nor does the next session start one for it."""
    home = local.settings.home

    async def make() -> None:
        """A schedule that is due once a year."""
        await schedules.add(local.settings, Wanted("yearly", "@yearly"), launch.Request("timed"))

    anyio.run(make)
    with pytest.raises(Refusal, match="already"):
        anyio.run(make)
    assert schedule_files.is_active(home)
    assert in_process(local, "schedule", "pause", "yearly").returncode == 0
    assert not schedule_files.is_active(home)
    assert in_process(local, "schedule", "resume", "yearly").returncode == 0
    assert schedule_files.is_active(home)
    assert in_process(local, "schedule", "remove", "yearly").returncode == 0
