"""What a schedule is launched with."""

from __future__ import annotations

import contextlib
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import cli, doctor, faces, records, schedule_files, schedules
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.schedule_files import Schedule
from tests import waiting

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home


def schedule(name: str = "x", cron: str = "@daily") -> Schedule:
    """One that is due each day."""
    return Schedule(name, "y", {}, cron, "UTC", 60, "skip", "", [], "", records.now())


@pytest.mark.parametrize("own", ["/made", ""])
def test_a_schedule_finds_its_skill_where_whoever_made_it_did(home: Home, own: str) -> None:
    """Whatever the worker or the shell that launches it looks through."""
    made = Schedule("nightly", "hello-world", {}, "@daily", "UTC", 60, "skip", "", [], own, "2030-01-31T08:15:00Z")
    found = schedules.settings_for({"SAGAFLOW_HOME": home.root, "SAGAFLOW_SKILLS_PATH": "/other", "LANG": "C"}, made)
    assert (found.environ["SAGAFLOW_SKILLS_PATH"], found.environ["LANG"]) == (own, "C")


def test_a_schedule_whose_file_has_a_field_of_another_kind_is_none(home: Home) -> None:
    """As after somebody has edited it by hand."""
    made = schedule()
    assert schedule_files.add(home, made)
    assert schedule_files.find(home, "x") == made
    path = Path(home.schedule("x"), "schedule.json")
    path.write_text(path.read_text(encoding="utf-8").replace("60", '"1m"'), encoding="utf-8")
    assert schedule_files.find(home, "x") is None


def test_a_schedule_that_is_removed_is_gone_whatever_its_worker_writes_down_meanwhile(home: Home) -> None:
    """So is what a removal has left that was killed."""
    left = Path(home.schedule("x.1.00000000~"))
    over = threading.Event()

    def write() -> None:
        for each in itertools.takewhile(lambda _: not over.is_set(), itertools.count()):
            with contextlib.suppress(FileNotFoundError):
                schedule_files.keep_record(home, "x", f"20300131-{each % 50:06}", "launched")

    with ThreadPoolExecutor() as pool, contextlib.ExitStack() as at_the_end:
        writing = pool.submit(write)
        at_the_end.callback(over.set)
        for _ in range(20):
            left.mkdir(parents=True)
            assert schedule_files.add(home, schedule())
            waiting.eventually(lambda: writing.done() or schedule_files.stamps(home, "x"), "something is written down")
            schedule_files.remove(home, "x")
            assert not list(Path(home.schedules).iterdir())
    writing.result()


def test_of_two_that_are_added_under_one_name_one_is_there(home: Home) -> None:
    """Whole, and whoever was later hears of it."""
    crons = [f"@every {each}h" for each in range(1, 9)]
    with ThreadPoolExecutor(len(crons)) as pool:
        added = list(pool.map(lambda cron: schedule_files.add(home, schedule(cron=cron)), crons))
    found = schedule_files.find(home, "x")
    assert found is not None
    assert [cron for cron, was_first in zip(crons, added, strict=True) if was_first] == [found.cron]
    assert {each.name for each in Path(home.schedule("x")).iterdir()} == {"due", "schedule.json"}


def test_a_schedule_that_was_removed_does_not_come_back_with_a_change(home: Home) -> None:
    """As where it is paused in the moment in which somebody removes it."""
    assert schedule_files.add(home, schedule())
    schedule_files.remove(home, "x")
    with pytest.raises(FileNotFoundError):
        schedule_files.change(home, schedule())
    assert schedule_files.listing(home) == []


@pytest.mark.parametrize("text", ["", '{"half":', "[]", "{}"])
def test_a_damaged_schedule_is_named_and_can_be_removed(
    home: Home, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Doctor, the list and whoever asks for it say that it is damaged; a folder without one is none."""
    monkeypatch.setenv("SAGAFLOW_HOME", home.root)
    Path(home.schedule("empty")).mkdir(parents=True)
    for name in ("x", "whole"):
        assert schedule_files.add(home, schedule(name))
    Path(home.schedule("x"), "schedule.json").write_text(text, encoding="utf-8")
    cures = {faces.CLI: "`sagaflow schedule remove x`", faces.MCP: "launch_workflow with schedule remove"}
    for face, cure in cures.items():
        (found,) = [each for each in doctor.examine({"SAGAFLOW_HOME": home.root}, face) if each.name == "schedule x"]
        assert (found.level, cure in found.cure) == ("fail", True)
    assert cli.main(["schedule", "list"]) == 0
    assert "x: damaged, so that it launches nothing" in capsys.readouterr().out
    with pytest.raises(Refusal, match=r"^schedule 'x' is damaged: .* cannot be read; remove it, and add it anew$"):
        schedules.get(home, "x")
    assert not schedule_files.add(home, schedule())
    schedule_files.remove(home, "x")
    assert schedule_files.damaged(home) == []
