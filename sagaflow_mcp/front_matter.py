"""What a SKILL.md says about its skill in its front matter."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FRONT_MATTER_BYTES = 8192
"""How much of a SKILL.md is read for its description."""

DESCRIPTION_LIMIT = 500
"""The longest description shown, in characters."""


def description(path: Path) -> str:
    """The `description` in a SKILL.md's front matter as one line; empty when there is none. Never raises."""
    if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises where a folder may not be searched
        return ""  # It may be a pipe, which nobody writes to.
    try:
        with path.open("rb") as file:
            lines = file.read(FRONT_MATTER_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    if not lines or lines[0].strip() != "---":
        return ""
    words: list[str] | None = None
    for line in lines[1:]:
        if words is not None and not line.startswith((" ", "\t")):
            break
        if words is not None:
            words.append(line.strip())
        elif line.startswith("description:"):
            words = [line.removeprefix("description:").strip()]
        elif line.strip() == "---":
            break
    return _unquoted(words or [])[:DESCRIPTION_LIMIT]


def _unquoted(words: list[str]) -> str:
    """The text of a YAML scalar written in `words`: plain, quoted or a block."""
    if words and words[0] in {"|", ">", "|-", ">-", "|+", ">+"}:
        words = words[1:]
    text = " ".join(" ".join(words).split())
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    return text
