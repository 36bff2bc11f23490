"""The home."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.paths import Home

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("name", "why"), [(b"why?", r"has a '\?'"), (b"caf\xe9", "not UTF-8")])
def test_a_home_in_which_the_database_cannot_lie_is_refused(tmp_path: Path, name: bytes, why: str) -> None:
    """Nothing is made there."""
    home = Home(str(tmp_path / os.fsdecode(name)))
    with pytest.raises(Refusal, match=f"{why}.*set SAGAFLOW_HOME to another folder"):
        home.prepare()
    assert list(tmp_path.iterdir()) == []
