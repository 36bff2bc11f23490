"""Which runs are marked as open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import artifacts, inbox, markers, records

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home


def marker(run_id: str) -> records.OpenRun:
    """The marker of a run."""
    return records.OpenRun(run_id, "greet", "d" * 64, "/project", "2030-01-31T08:15:00Z", "h")


def test_a_marked_run_is_open_until_its_marker_is_removed(home: Home) -> None:
    """Removing twice is as good as once."""
    markers.claim(home, marker("a"))
    assert markers.listing(home) == [marker("a")]
    markers.remove(home, "a")
    markers.remove(home, "a")
    assert not markers.exists(home, "a")
    assert markers.listing(home) == []


def test_a_run_whose_ending_was_told_is_open_no_more_though_it_is_still_marked(home: Home) -> None:
    """Its marker goes last. One that is marked since is open: it was retried."""
    markers.claim(home, marker("a"))
    Path(home.run("a")).mkdir()
    ending = {"entry_id": "a~1", "status": "DONE", "closed_at": "2030-01-31T08:15:01Z"}
    artifacts.write_json(Path(home.run("a")) / "ending.json", ending)
    assert markers.is_open(home, "a")
    inbox.deliver(home, records.Entry("a~1", "a", "greet", "DONE", "hello", "2030-01-31T08:15:01Z"))
    assert not markers.is_open(home, "a")
    markers.remove(home, "a")
    markers.claim(home, marker("a")._replace(created_at="2030-01-31T08:15:02Z"))
    assert markers.is_open(home, "a")


def test_a_damaged_marker_counts_by_its_name(home: Home) -> None:
    """A run is not forgotten because a file is damaged."""
    Path(home.open_runs, "a").write_text("{", encoding="utf-8")
    assert [each.run_id for each in markers.listing(home)] == ["a"]


def test_what_a_crash_left_half_written_is_no_open_run(home: Home) -> None:
    """It would keep the engine up for ever; a run whose id looks like a temporary file still counts."""
    Path(home.open_runs, "a.4711.0badcafe~").touch()
    markers.claim(home, marker("a.tmp"))
    assert markers.run_ids(home) == {"a.tmp"}


def test_the_marker_of_a_retry_outlives_the_ending_before_it(home: Home) -> None:
    """An ending is settled again and again; only the marker that is older than it goes with it."""
    markers.remove_until(home, "a", "2030-01-31T08:15:00Z")
    markers.claim(home, marker("a"))
    markers.remove_until(home, "a", "2030-01-31T08:14:59Z")
    assert markers.exists(home, "a")
    markers.remove_until(home, "a", "2030-01-31T08:15:00Z")
    assert not markers.exists(home, "a")
