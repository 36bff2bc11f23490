"""The home."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.paths import DRAFT_SECONDS, Home, clear_drafts


@pytest.mark.parametrize(("name", "why"), [(b"why?", r"has a '\?'"), (b"caf\xe9", "not UTF-8")])
def test_a_home_in_which_the_database_cannot_lie_is_refused(tmp_path: Path, name: bytes, why: str) -> None:
    """Nothing is made there."""
    home = Home(str(tmp_path / os.fsdecode(name)))
    with pytest.raises(Refusal, match=f"{why}.*set SAGAFLOW_HOME to another folder"):
        home.prepare()
    assert list(tmp_path.iterdir()) == []


def test_what_killed_writers_have_left_is_cleared(home: Home) -> None:
    """Neither what is being written nor a skill's own file goes, and in shared folders nothing that is recent."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    run = Path(home.run("run-1"), "journal")
    run.mkdir(parents=True)
    kept = [
        Path(home.engine, f"state.json.{os.getpid()}.0123abcd~"),
        Path(home.engine, "notes.v1.txt~"),
        run / f"key.{ended.pid}.0123abcd~",
        run / "draft.v1.txt~",
    ]
    cleared = [
        Path(home.root, f"INBOX.md.{ended.pid}.0123abcd~"),
        Path(home.engine, f"state.json.{ended.pid}.0123abcd~"),
        Path(home.open_runs, f"run-1.{ended.pid}.0123abcd~"),
        run / f"old.{os.getpid()}.0123abcd~",
    ]
    for path in [*kept, *cleared]:
        path.touch()
    long_ago = time.time() - DRAFT_SECONDS - 1
    os.utime(cleared[-1], (long_ago, long_ago))
    os.utime(kept[-1], (long_ago, long_ago))
    clear_drafts(home)
    assert [path for path in kept if not path.exists()] == []
    assert [path for path in cleared if path.exists()] == []
