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
    fields, _ = split("\n".join(lines))
    return " ".join(fields.get("description", "").split())[:DESCRIPTION_LIMIT]


def split(text: str) -> tuple[dict[str, str], str]:
    """The fields of the front matter of `text`, and the text after it.

    Of YAML as far as a SKILL.md uses it: scalars that are plain, quoted or a block, and lists, whose items are joined
    by commas.
    """
    text = text.removeprefix("\ufeff")
    lines = text.splitlines()
    if not lines or lines[0].strip() != "---":
        return {}, text
    fields: dict[str, list[str]] = {}
    name = ""
    for number, line in enumerate(lines[1:], 1):
        if line.strip() == "---":
            return _values(fields), "\n".join(lines[number + 1 :])
        key, colon, value = line.partition(":")
        if colon and key and not key.startswith((" ", "\t", "-", "#")):
            name = key.strip()
            fields[name] = [value.strip()]
        elif name:
            fields[name].append(line.strip())
    return _values(fields), ""


def _values(fields: dict[str, list[str]]) -> dict[str, str]:
    return {name: _unquoted(_items(words)) for name, words in fields.items()}


def _items(words: list[str]) -> list[str]:
    """The words of a scalar, or of a list in one."""
    items = [word.removeprefix("- ").strip("\"'") for word in words if word.startswith("- ")]
    return [", ".join(items)] if items and not words[0] else words


def _unquoted(words: list[str]) -> str:
    """The text of a YAML scalar written in `words`: plain, quoted or a block."""
    if words and words[0] in {"|", ">", "|-", ">-", "|+", ">+"}:
        words = words[1:]
    text = " ".join(" ".join(words).split())
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    return text
