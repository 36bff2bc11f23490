"""The files of one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagaflow_mcp import artifacts

if TYPE_CHECKING:
    from pathlib import Path

NOT_UNICODE = b"caf\xe9".decode("utf-8", "surrogateescape")
"""What Python makes of bytes from outside that are no UTF-8, as in the name of a folder."""


def test_text_that_is_not_unicode_can_be_written_down(tmp_path: Path) -> None:
    """A record that cannot be written is a run that nobody hears of."""
    artifacts.write_json(tmp_path / "run.json", {"project_dir": NOT_UNICODE})
    assert artifacts.read_json(tmp_path / "run.json") == {"project_dir": NOT_UNICODE}


def test_text_that_is_not_unicode_can_be_told_in_the_transcript(tmp_path: Path) -> None:
    """A step that cannot tell would fail for that."""
    artifacts.append_event(tmp_path, "step_failed", error=NOT_UNICODE)
    (told,) = artifacts.events(tmp_path)
    assert (told["event"], told["error"]) == ("step_failed", NOT_UNICODE)
