"""A run's transcript: one line for each event, whatever happened to the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagaflow_mcp import artifacts

if TYPE_CHECKING:
    from pathlib import Path


def test_a_torn_line_swallows_no_other(tmp_path: Path) -> None:
    """A crash or a full disk can leave half a line behind."""
    artifacts.append_event(tmp_path, "first")
    with tmp_path.joinpath("transcript.jsonl").open("ab") as file:
        file.write(b'{"at": "20')
    artifacts.append_event(tmp_path, "second", label="caf\udce9")
    artifacts.append_event(tmp_path, "third")
    assert [event["event"] for event in artifacts.events(tmp_path)] == ["first", "second", "third"]
