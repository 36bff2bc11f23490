"""The runs that somebody watches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sagaflow_mcp import artifacts, markers, records
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.watching import Transcript, Watcher

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.runs import Run


def begin(home: Home, run_id: str, minute: int = 0) -> Path:
    """The folder of a run that was launched."""
    at = f"2030-01-31T08:{minute:02d}:00Z"
    folder = Path(home.run(run_id))
    folder.mkdir()
    artifacts.write_json(folder / "run.json", {"skill": "x", "created_at": at})
    markers.claim(home, records.OpenRun(run_id, "x", "d", "", at, "h"))
    return folder


def end(home: Home, run_id: str) -> None:
    """The run ends."""
    ending = {"entry_id": f"{run_id}~a", "status": "DONE", "summary": "all is well"}
    artifacts.write_json(Path(home.run(run_id), "ending.json"), ending)
    markers.remove(home, run_id)


def seen(found: list[Run]) -> list[tuple[str, str]]:
    """Ids and states."""
    return [(run.run_id, run.state) for run in found]


def test_open_runs_come_first_and_those_that_end_stay_to_be_seen(home: Home) -> None:
    """The newest of each kind first; one that is launched meanwhile is there with the next look."""
    begin(home, "a", 1)
    begin(home, "b", 2)
    end(home, "a")
    watcher = Watcher(home)
    assert seen(watcher.look()) == [("b", "RUNNING"), ("a", "DONE")]
    begin(home, "c", 3)
    assert seen(watcher.look()) == [("c", "RUNNING"), ("b", "RUNNING"), ("a", "DONE")]
    end(home, "b")
    assert seen(watcher.look()) == [("c", "RUNNING"), ("b", "DONE"), ("a", "DONE")]


def test_a_run_that_is_retried_is_seen_once(home: Home) -> None:
    """As open."""
    begin(home, "a")
    end(home, "a")
    watcher = Watcher(home)
    assert seen(watcher.look()) == [("a", "DONE")]
    markers.claim(home, records.OpenRun("a", "x", "d", "", "2030-01-31T08:15:00Z", "h"))
    assert seen(watcher.look()) == [("a", "RUNNING")]


def test_only_runs_that_are_named_are_seen(home: Home) -> None:
    """Each once, however often it is named."""
    for run_id in ("a", "b"):
        begin(home, run_id)
    assert seen(Watcher(home, ["b", "b"]).look()) == [("b", "RUNNING")]
    with pytest.raises(Refusal, match="there is no run 'c'"):
        Watcher(home, ["c"]).look()


def test_progress_is_that_of_the_moment(home: Home) -> None:
    """What the steps come to, and what the run says."""
    folder = begin(home, "a")
    watcher = Watcher(home)
    assert watcher.look()[0].progress.current == ()
    artifacts.append_event(folder, "step_started", step="s", label="reader")
    artifacts.write_json(folder / artifacts.PROGRESS, {"phase": "reading", "done": 1, "total": 9})
    now = watcher.look()[0].progress
    assert (now.current, now.phase, now.done, now.total) == (("reader",), "reading", 1, 9)


def test_a_transcript_is_read_on_from_where_it_was_read_to(tmp_path: Path) -> None:
    """A line that is being written is read once it is whole; damage is left out."""
    transcript, path = Transcript(tmp_path), tmp_path / artifacts.TRANSCRIPT
    assert transcript.read().steps == {}
    artifacts.append_event(tmp_path, "step_started", step="a", label="one")
    whole = json.dumps({"event": "step_started", "step": "b", "label": "two"}) + "\n"
    with path.open("a", encoding="utf-8") as file:
        file.write('[]\n{"dam\n' + whole[:20])
    assert list(transcript.read().steps) == ["a"]
    with path.open("a", encoding="utf-8") as file:
        file.write(whole[20:])
    assert list(transcript.read().steps) == ["a", "b"]
    path.write_text(whole, encoding="utf-8")
    assert list(transcript.read().steps) == ["b"]


def test_a_damaged_run_does_not_keep_others_from_being_seen(home: Home) -> None:
    """Its files may hold anything."""
    begin(home, "a", 1)
    damaged = begin(home, "b", 2)
    values: list[Any] = [7, "x", None, [], {"phase": 7, "done": None, "total": -3}]
    for value in values:
        artifacts.write_json(damaged / artifacts.PROGRESS, value)
        (damaged / artifacts.TRANSCRIPT).write_bytes(b"\xff\xfe\n\0\n7\n")
        assert seen(Watcher(home).look()) == [("b", "RUNNING"), ("a", "RUNNING")]
