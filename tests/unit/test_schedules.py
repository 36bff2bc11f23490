"""What a schedule is launched with."""

from __future__ import annotations

import contextlib
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import records, schedule_files, schedules
from sagaflow_mcp.schedule_files import Schedule
from tests import waiting

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home


@pytest.mark.parametrize("own", ["/made", ""])
def test_a_schedule_finds_its_skill_where_whoever_made_it_did(home: Home, own: str) -> None:
    """Whatever the worker or the shell that launches it looks through."""
    made = Schedule("nightly", "hello-world", {}, "@daily", "UTC", 60, "skip", "", [], own, "2030-01-31T08:15:00Z")
    found = schedules.settings_for({"SAGAFLOW_HOME": home.root, "SAGAFLOW_SKILLS_PATH": "/other", "LANG": "C"}, made)
    assert (found.environ["SAGAFLOW_SKILLS_PATH"], found.environ["LANG"]) == (own, "C")


def test_a_schedule_whose_file_has_a_field_of_another_kind_is_none(home: Home) -> None:
    """As after somebody has edited it by hand."""
    made = Schedule("x", "y", {}, "@daily", "UTC", 60, "skip", "", [], "", records.now())
    schedule_files.put(home, made)
    assert schedule_files.find(home, "x") == made
    path = Path(home.schedule("x"), "schedule.json")
    path.write_text(path.read_text(encoding="utf-8").replace("60", '"1m"'), encoding="utf-8")
    assert schedule_files.find(home, "x") is None


def test_a_schedule_that_is_removed_is_gone_whatever_its_worker_writes_down_meanwhile(home: Home) -> None:
    """So is what a removal has left that was killed."""
    left = Path(home.schedule("x.1.00000000~"))
    made = Schedule("x", "y", {}, "@daily", "UTC", 60, "skip", "", [], "", records.now())
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
            schedule_files.put(home, made)
            waiting.eventually(lambda: writing.done() or schedule_files.stamps(home, "x"), "something is written down")
            schedule_files.remove(home, "x")
            assert not list(Path(home.schedules).iterdir())
    writing.result()
