"""The files of one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import artifacts
from sagaflow_mcp.errors import Failure, Refusal

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


@pytest.mark.parametrize("name", ["", ".", "a\0b", "\ud800.txt", "Run.json", "journal/x", "circle/x"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    """At once: a step that fails in any other way is tried again, for ever."""
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(Refusal):
        artifacts.write(tmp_path, name, "")


def test_what_cannot_be_written_is_told_in_a_sentence(tmp_path: Path) -> None:
    """With what it was and where, so that no full disk looks like a bug."""
    folder = tmp_path / "gone"
    said = r"^the pause cannot be written to '.*gone': No such file or directory$"
    with pytest.raises(Failure, match=said), artifacts.changing("the pause", folder):
        artifacts.write_json(folder / "paused.json", {})
