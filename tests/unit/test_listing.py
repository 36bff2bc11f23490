"""Lists of the runs of a home that has many."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sagaflow_mcp import markers, paths, records, runs
from sagaflow_mcp.paths import Home
from sagaflow_mcp.run_filter import RunFilter

if TYPE_CHECKING:
    from collections.abc import Callable

MANY = 2_000
SKILLS = ("review", "task", "greet", "fan-out")
FAILED = RunFilter(states=frozenset({"FAILED"}))


def add(home: Home, number: int, *, status: str = "DONE", **about: Any) -> str:
    """The id of a run that was launched in the minute `number`; it is open where `status` is empty."""
    run_id, at = f"r-{number:05d}", 1_700_000_000 + 60 * number
    folder = Path(home.run(run_id))
    folder.mkdir()
    started = {"skill": SKILLS[number % 4], "created_at": records.moment(at), "project_dir": "/p/a", **about}
    (folder / "run.json").write_text(json.dumps(started), encoding="utf-8")
    if status:
        ending = {"entry_id": f"{run_id}~a", "status": status, "summary": f"run {number}", "closed_at": ""}
        (folder / "ending.json").write_text(json.dumps(ending), encoding="utf-8")
    else:
        marker = records.OpenRun(run_id, started["skill"], "d", started["project_dir"], started["created_at"], "h")
        markers.claim(home, marker)
    os.utime(folder / "run.json", (at, at))
    os.utime(folder, (at, at))
    return run_id


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with some thousand runs; every 100th has failed, and two are open."""
    home = Home(str(tmp_path_factory.mktemp("many") / "home")).prepare()
    for number in range(MANY):
        add(home, number, status="FAILED" if number % 100 == 0 else "DONE")
    add(home, MANY, status="")
    add(home, 0 - 1, status="", skill="old")
    return home


def ids(found: list[runs.Run]) -> list[str]:
    """Their run ids."""
    return [run.run_id for run in found]


def test_the_newest_runs_come_first(many: Home) -> None:
    """By when they were launched."""
    expected = [f"r-{number:05d}" for number in range(MANY, MANY - 20, -1)]
    assert ids(runs.listing(many)) == expected
    assert len(runs.listing(many, limit=MANY * 2)) == MANY + 2


@pytest.mark.parametrize("look", ["first", "second"])
def test_a_filter_finds_the_runs_whether_they_are_indexed_or_not(many: Home, look: str) -> None:
    """The first look reads the files, and a later one what that has noted."""
    failed = [f"r-{number:05d}" for number in range(MANY - 100, -1, -100)]
    assert ids(runs.listing(many, FAILED)) == failed[:20], look
    assert ids(runs.listing(many, FAILED, limit=3)) == failed[:3]
    assert ids(runs.listing(many, RunFilter(skill="task"), limit=2)) == ["r-01997", "r-01993"]
    assert ids(runs.listing(many, RunFilter(project="/p"), limit=2)) == ["r-02000", "r-01999"]
    assert runs.listing(many, RunFilter(project="/other")) == []


def test_open_runs_are_found_by_their_markers(many: Home) -> None:
    """However old they are."""
    chosen = RunFilter(states=frozenset({"RUNNING", "PAUSED"}))
    assert ids(runs.listing(many, chosen)) == ["r-02000", "r--0001"]
    assert ids(runs.listing(many, RunFilter(states=chosen.states, skill="old"))) == ["r--0001"]
    assert ids(runs.listing(many, RunFilter(skill="old"))) == ["r--0001"]


def fail(home: Home, run_id: str) -> None:
    """Give the run another ending, as the worker does."""
    path = Path(home.run(run_id), "ending.json")
    about = json.loads(path.read_text(encoding="utf-8")) | {"status": "FAILED"}
    paths.write_atomically(str(path), json.dumps(about))


def remove(home: Home, run_id: str) -> None:
    """Delete the run by hand."""
    shutil.rmtree(home.run(run_id))


def open_again(home: Home, run_id: str) -> None:
    """Mark the run as open, as a retry does."""
    markers.claim(home, records.OpenRun(run_id, "x", "d", "", "2030-01-31T08:15:00Z", "h"))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (fail, ["r-00029", "r-00020", "r-00010", "r-00000"]),
        (remove, ["r-00020", "r-00010", "r-00000"]),
        (open_again, ["r-00020", "r-00010", "r-00000"]),
    ],
)
def test_what_has_changed_since_is_seen(home: Home, change: Callable[[Home, str], None], expected: list[str]) -> None:
    """The index counts only for a folder that is as it was."""
    for number in range(30):
        add(home, number, status="FAILED" if number % 10 == 0 else "DONE")
    assert ids(runs.listing(home, FAILED)) == ["r-00020", "r-00010", "r-00000"]
    assert Path(home.engine, "run-index.json").exists()
    change(home, "r-00029")
    assert ids(runs.listing(home, FAILED)) == expected


def test_a_removed_failure_is_listed_no_more(home: Home) -> None:
    """Nor is it an error."""
    for number in range(30):
        add(home, number, status="FAILED")
    runs.listing(home, FAILED, limit=100)
    for number in range(1, 30):
        remove(home, f"r-{number:05d}")
    assert ids(runs.listing(home, FAILED)) == ["r-00000"]


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"version": 1}', '{"version": 1, "runs": [7]}', '{"version": 9, "runs": {}}']
)
def test_an_index_that_is_damaged_or_of_another_version_is_made_anew(home: Home, content: str) -> None:
    """It is a cache."""
    for number in range(30):
        add(home, number, status="FAILED")
    index = Path(home.engine, "run-index.json")
    index.write_text(content, encoding="utf-8")
    assert len(runs.listing(home, FAILED, limit=100)) == 30
    assert len(json.loads(index.read_text(encoding="utf-8"))["runs"]) == 30


def test_a_folder_that_changes_just_now_is_not_indexed(home: Home) -> None:
    """It could change again within the same tick of the clock."""
    for number in range(30):
        run_id = add(home, number)
        os.utime(home.run(run_id))
    runs.listing(home, FAILED)
    assert not Path(home.engine, "run-index.json").exists()


def test_a_folder_that_is_no_run_is_left_out(home: Home) -> None:
    """A launch was cut off before there was one, say."""
    Path(home.run("r-1")).mkdir()
    Path(home.runs, "notes.txt").write_text("x", encoding="utf-8")
    add(home, 2)
    assert ids(runs.listing(home)) == ids(runs.listing(home, RunFilter(states=frozenset({"DONE"})))) == ["r-00002"]
