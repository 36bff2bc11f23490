"""What is read in a SKILL.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import checking, front_matter, paths, skill_file
from sagaflow_mcp.catalog import Root
from sagaflow_mcp.errors import BrokenSkill

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """---
name: x
description: >
  Does
  things.
allowed-tools: Read, Bash(git log:*, git show:*), mcp__github__search
---
Do $ARGUMENTS in ${CLAUDE_SKILL_DIR}.
"""


def test_the_front_matter_is_split_from_the_text() -> None:
    """A block, a plain scalar; without front matter all is text."""
    fields, text = front_matter.split(WHOLE)
    assert (fields["description"], text) == ("Does things.", "Do $ARGUMENTS in ${CLAUDE_SKILL_DIR}.")
    assert front_matter.split("Do it.") == ({}, "Do it.")
    assert front_matter.split(f"\ufeff{WHOLE}") == (fields, text), "as some editors begin a file"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("allowed-tools: Read, Grep", ["Read", "Grep"]),
        ("allowed-tools: Read Grep", ["Read", "Grep"]),
        ('allowed-tools: ["Read", "Grep"]', ["Read", "Grep"]),
        ("allowed-tools:\n  - Read\n  - Bash(git log:*)", ["Read", "Bash(git log:*)"]),
        ("allowed-tools:", []),
        ("name: x", []),
    ],
)
def test_allowed_tools_are_found_however_they_are_written(said: str, found: list[str]) -> None:
    """As YAML has it, or as Claude Code also takes it."""
    assert skill_file.allowed_tools(f"---\n{said}\n---\nDo it.") == found


def test_the_instruction_has_what_the_user_gave_along() -> None:
    """Where the text says, or at its end."""
    assert skill_file.instruction(WHOLE, "it", "/skill") == "Do it in /skill."
    assert skill_file.instruction("Do.", "it", "/skill") == "Do.\n\nARGUMENTS: it"
    assert skill_file.instruction("Do.", "", "/skill") == "Do."


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"", 1, "no text"),
        (b"---\nname: x\n---\n\n", 4, "no text"),
        (b"---\nname: x\n\nDo it.\n", 4, "ends with a line `---`"),
        (b"---\nname: x\n---\nDo \xff.\n", 4, "not UTF-8"),
    ],
)
def test_a_file_that_tells_an_agent_nothing_is_broken(tmp_path: Path, content: bytes, line: int, reason: str) -> None:
    """Rather than that a model is asked for nothing; where it is wrong is told."""
    (tmp_path / "SKILL.md").write_bytes(content)
    with pytest.raises(BrokenSkill, match=reason) as error:
        skill_file.check(tmp_path, "/mine/SKILL.md")
    assert (error.value.file, error.value.line) == ("/mine/SKILL.md", line)


def test_a_file_that_cannot_be_read_is_found_once(tmp_path: Path) -> None:
    """By loading it."""
    (tmp_path / "skills/latin").mkdir(parents=True)
    (tmp_path / "skills/latin/SKILL.md").write_bytes(b"Write caf\xe9.")
    home = paths.Home(str(tmp_path / "home")).prepare()
    (checked,) = checking.check(home, [Root("path", tmp_path / "skills")], "latin")
    assert [each.sentence for each in checked.findings] == [
        "skill 'latin' cannot be loaded: its SKILL.md is not UTF-8 text"
    ]
