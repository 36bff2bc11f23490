"""Which runs a list shows, as users ask for them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import records, run_filter
from sagaflow_mcp.errors import UsageRefusal
from sagaflow_mcp.run_filter import RunFilter
from sagaflow_mcp.run_index import Known

if TYPE_CHECKING:
    from pathlib import Path


def known(**changed: str) -> Known:
    """A run that was launched just now, but for `changed`."""
    about = {"state": "DONE", "skill": "review", "project_dir": "/p/a", "created_at": records.now(), **changed}
    return Known(launched=0.0, **about)


@pytest.mark.parametrize("text", ["running", "Done", *sorted(records.ENDINGS)])
def test_a_state_can_be_asked_for_in_any_case(text: str) -> None:
    """As people type it."""
    assert run_filter.parse_states(text) == {text.upper()}


def test_all_open_runs_can_be_asked_for() -> None:
    """Those that a person has paused as well."""
    assert RunFilter(states=run_filter.parse_states("open")).is_of_open_runs
    assert run_filter.parse_states("open") == {"RUNNING", "PAUSED"}


@pytest.mark.parametrize("text", ["ready", "", "NOTE", "\x1b[31m</x>" * 10_000])
def test_a_state_that_no_run_has_is_refused(text: str) -> None:
    """The sentence says which there are."""
    expected = r"is not one of OPEN, RUNNING, PAUSED, CANCELLED, DONE, FAILED, TERMINATED, TIMED_OUT$"
    with pytest.raises(UsageRefusal, match=expected):
        run_filter.parse_states(text)


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("12 h", timedelta(hours=12)),
        ("2D", timedelta(days=2)),
        ("1w", timedelta(weeks=1)),
    ],
)
def test_an_age_is_a_number_and_a_unit(text: str, age: timedelta) -> None:
    """As people type it."""
    assert run_filter.parse_age(text) == age


@pytest.mark.parametrize("text", ["2", "d", "-2d", "2 days", "1.5d", "٣d", "\x1b[31m</x>" * 10_000])
def test_what_is_no_age_is_refused(text: str) -> None:
    """The sentence shows one."""
    with pytest.raises(UsageRefusal, match=r"is not a number and one of s, m, h, d and w, such as 2d$"):
        run_filter.parse_age(text)


def test_an_age_longer_than_time_takes_all_runs() -> None:
    """It is no mistake."""
    assert RunFilter.parse(None, None, None, "999999999w", ".").takes(known())


def test_a_project_is_a_folder_with_all_that_is_in_it(tmp_path: Path) -> None:
    """Relative to where one works, links followed; a folder that begins alike is another one."""
    tmp_path.joinpath("real", "inner").mkdir(parents=True)
    tmp_path.joinpath("link").symlink_to("real")
    chosen = RunFilter.parse(None, None, "link", None, str(tmp_path))
    for folder, is_taken in {
        "real": True,
        "real/inner": True,
        "link/inner": True,
        "really": False,
        "": False,
        "a\0b": False,
        "\ud800": False,
    }.items():
        assert chosen.takes(known(project_dir=str(tmp_path / folder))) == is_taken, folder
    assert not chosen.takes(known(project_dir=""))
    assert RunFilter.parse(None, None, ".", None, str(tmp_path / "link")) == chosen


@pytest.mark.parametrize("project", ["nothing", "file", "a\0b", "x" * 100_000])
def test_a_project_that_is_no_folder_is_refused(tmp_path: Path, project: str) -> None:
    """A mistyped path would show nothing."""
    tmp_path.joinpath("file").touch()
    with pytest.raises(UsageRefusal, match="is not a folder"):
        RunFilter.parse(None, None, project, None, str(tmp_path))


def test_each_part_of_a_filter_counts() -> None:
    """Only what passes all of them is shown."""
    assert RunFilter().takes(known())
    assert RunFilter(skill="review").takes(known())
    assert not RunFilter(skill="task").takes(known())
    recent = RunFilter.parse("done", "review", None, "1h", ".")
    assert recent.takes(known())
    assert not recent.takes(known(created_at="2020-01-31T08:15:00Z"))
    assert not recent.takes(known(created_at="yesterday"))
    assert not recent.takes(known(state="FAILED"))
