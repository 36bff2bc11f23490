"""What is in our pages for their readers to copy: code, files and commands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of `page` in `language`."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    """Each line of its `sh` blocks."""
    return [line for block in blocks(page, "sh") for line in block.splitlines()]


def files(page: str) -> dict[str, str]:
    """The content of each file, by the name that stands before its code block."""
    return dict(re.findall(r"^`([^`]+)`:\n\n```\w+\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))


def write_files(page: str, folder: Path) -> None:
    """Write the files of `page` into `folder`."""
    for name, content in files(page).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
