"""The cases of the bundled skills, as `sagaflow skills test` runs them."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from tests.acceptance import tools

if TYPE_CHECKING:
    from pathlib import Path

BUNDLED = [each.parent for each in sorted(tools.ROOT.glob("skills/*/SKILL.md"))]


def test_the_bundled_skills_pass_their_cases(tmp_path: Path) -> None:
    """Each has one at least."""
    done = subprocess.run(
        [str(tools.COMMANDS / "sagaflow"), "skills", "test", "--json", *map(str, BUNDLED)],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.stderr == ""
    verdicts = json.loads(done.stdout)
    assert [each for each in verdicts if not each["passed"]] == []
    assert done.returncode == 0
    assert {each["skill"] for each in verdicts} == {each.name for each in BUNDLED}
