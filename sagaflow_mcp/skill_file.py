"""Skills that are a SKILL.md alone, as people write them for Claude Code."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from sagaflow_mcp import front_matter
from sagaflow_mcp.errors import BrokenSkill

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NAME = "SKILL.md"

WORKFLOW = '''"""The workflow of a skill that is a SKILL.md alone: an agent with its text as the instruction."""

from sagaflow_mcp import Context, skill
from sagaflow_mcp.durable import instructed


@skill({name!r}, allowed_tools=instructed.allowed_tools(__file__))
async def agent(ctx: Context, arguments: str = "") -> str:
    """Do what the skill says.

    Args:
        arguments: what `$ARGUMENTS` stands for in the skill's text.
    """
    return await instructed.work(ctx, __file__, arguments)
'''
"""The module that such a skill is run by, in place of the `workflow.py` that it has not."""

ARGUMENTS = "$ARGUMENTS"
"""What stands in a skill's text for what the user gave along."""

SKILL_DIR = "${CLAUDE_SKILL_DIR}"
"""What stands in a skill's text for the folder of its files."""

_TOOL = re.compile(r"[A-Za-z_][\w-]*\*?(?:\([^)]*\))?")


def is_alone(folder: Path) -> bool:
    """Whether the skill in `folder` is a SKILL.md alone: whether it has no code."""
    # Not Path.is_file, which raises where a folder may not be searched.
    return not any(os.path.isfile(folder / name) for name in ("__init__.py", "workflow.py"))  # noqa: PTH113 - as above


def check(folder: Path, shown: str) -> None:
    """Return when the SKILL.md in `folder` tells an agent something.

    Raises:
        BrokenSkill: it cannot be read, or has no text; `shown` is the author's file.
    """
    try:
        text = (folder / NAME).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise BrokenSkill(f"its {NAME} is not UTF-8 text", shown, line) from None
    except OSError as error:
        raise BrokenSkill(f"its {NAME} cannot be read: {error.strerror or error}", shown, 1) from None
    _, body = front_matter.split(text)
    if not body.strip():
        raise BrokenSkill(
            f"its {NAME} has no text after the front matter, which ends with a line `---`; write there what to do",
            shown,
            max(1, len(text.splitlines())),
        )


def workflow(name: str) -> str:
    """The source of the module that runs skill `name`."""
    return WORKFLOW.format(name=name)


def instruction(text: str, arguments: str, folder: str) -> str:
    """What an agent is told to do by the SKILL.md `text`.

    Args:
        text: the whole file.
        arguments: what the user gave along.
        folder: where the skill's files are.
    """
    _, body = front_matter.split(text)
    told = body.replace(SKILL_DIR, folder).strip()
    if ARGUMENTS in told:
        return told.replace(ARGUMENTS, arguments)
    return f"{told}\n\nARGUMENTS: {arguments}" if arguments else told


def allowed_tools(text: str) -> Sequence[str]:
    """The tools that the SKILL.md `text` allows, as Claude Code calls them."""
    fields, _ = front_matter.split(text)
    return _TOOL.findall(fields.get("allowed-tools", ""))
