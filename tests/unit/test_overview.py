"""The skills as lists show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagaflow_mcp import digest, overview, probe
from sagaflow_mcp.catalog import Root

if TYPE_CHECKING:
    from pathlib import Path

    from sagaflow_mcp.paths import Home


def add(root: Path, name: str, file: str) -> Path:
    """A skill of one file."""
    folder = root / name
    folder.mkdir(parents=True)
    folder.joinpath(file).write_text("def register(registry): ...\n", encoding="utf-8")
    return folder


def test_each_skill_has_the_digest_of_its_files_and_a_broken_one_its_reason(home: Home, tmp_path: Path) -> None:
    """What has links to anywhere cannot be copied, and so not launched."""
    root = tmp_path / "skills"
    good, linked = add(root, "good", "__init__.py"), add(root, "linked", "__init__.py")
    agent = add(root, "agent", "SKILL.md")
    for folder in (linked, agent):
        folder.joinpath("data").symlink_to("/nowhere")
    found = {each.listed.name: each for each in overview.overview(home, [Root("path", root)])}
    assert found["good"].digest == digest.snapshot(str(good)).digest
    assert (found["good"].listed.problem, found["good"].listed.launchable) == (None, True)
    for name in ("agent", "linked"):
        assert "data" in str(found[name].listed.problem)
        assert found[name].digest == ""
    assert probe.last_problem(home, "good", found["good"].digest) is None
