"""The cases of the bundled skills, as `sagaflow skills test` runs them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.acceptance import tools

if TYPE_CHECKING:
    from pathlib import Path

BUNDLED = tools.ROOT / "skills"


@pytest.mark.parametrize("name", sorted(each.parent.name for each in BUNDLED.glob("*/SKILL.md")))
def test_the_bundled_skills_pass_their_cases(tmp_path: Path, name: str) -> None:
    """Each has one at least."""
    done = subprocess.run(
        [str(tools.COMMANDS / "sagaflow"), "skills", "test", str(BUNDLED / name)],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert all(line.startswith("ok    ") for line in done.stdout.splitlines())
