"""The health of an installation, where no engine runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import doctor

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody whose home is empty."""
    return {"HOME": str(tmp_path), "SAGAFLOW_HOME": str(tmp_path / "home")}


def named(environ: dict[str, str], name: str, face: doctor.Face = doctor.CLI) -> list[doctor.Check]:
    """The checks of that name."""
    return [check for check in doctor.examine(environ, face) if check.name == name]


def test_the_skills_that_this_version_does_not_run_are_one_count(environ: dict[str, str], tmp_path: Path) -> None:
    """Claude Code's own skills are nothing to warn of, however many there are; a broken workflow is."""
    skills = tmp_path / ".claude" / "skills"
    for name in ("pdf", "xlsx", "Meeting notes"):
        (skills / name).mkdir(parents=True)
        (skills / name / "SKILL.md").write_text("---\ndescription: Helps.\n---\n", encoding="utf-8")
    assert named(environ, "skills") == [
        doctor.Check("skills", "ok", "1 can be launched"),
        doctor.Check("skills", "info", "3 have only a SKILL.md, which this version does not run"),
    ]
    assert [check for check in doctor.examine(environ, doctor.CLI) if check.name.startswith("skill ")] == []
    (skills / "pdf" / "__init__.py").write_text("not Python", encoding="utf-8")
    assert [check.level for check in named(environ, "skill pdf")] == ["warn"]
