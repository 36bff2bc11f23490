"""One text in a TOML file, also where Python has no TOML reader of its own: the system's python3 may be 3.9 or 3.10."""

from __future__ import annotations

import json
import re
from typing import Any

LIMIT = 1024 * 1024

HEADER = re.compile(r"\s*\[\s*([A-Za-z0-9_-]+)\s*\]\s*(?:#.*)?")
PAIR = re.compile(r"""\s*([A-Za-z0-9_-]+)\s*=\s*("(?:[^"\\]|\\.)*"|'[^']*')\s*(?:#.*)?""")


def text_in(path: str, setting: str) -> str:
    """The text that the setting `setting`, as `table.name`, has in the file `path`.

    Empty when it has none, or the file cannot be read. Never raises.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = file.read(LIMIT)
    except (OSError, ValueError):
        return ""
    table, _, name = setting.partition(".")
    try:
        import tomllib  # noqa: PLC0415 - not there before Python 3.11
    except ImportError:
        found: Any = texts(content)
    else:
        try:
            found = tomllib.loads(content)
        except (ValueError, RecursionError):
            return ""
    values = found.get(table)
    value = values.get(name) if isinstance(values, dict) else None
    return value if isinstance(value, str) else ""


def texts(content: str) -> dict[str, dict[str, str]]:
    """The texts in each table of `content`, as far as they are written plainly: a line each, below the table's name.

    None of those in a file that has a text of several lines, which may look like anything.
    """
    found: dict[str, dict[str, str]] = {}
    values: dict[str, str] = {}
    for line in [] if '"""' in content or "'''" in content else content.splitlines():
        header, pair = HEADER.fullmatch(line), PAIR.fullmatch(line)
        if header:
            values = found.setdefault(header[1], {})
        elif line.lstrip().startswith("["):
            values = {}
        elif pair:
            values[pair[1]] = pair[2][1:-1] if pair[2].startswith("'") else _unescaped(pair[2])
    return {table: {name: text for name, text in kept.items() if text} for table, kept in found.items()}


def _unescaped(quoted: str) -> str:
    """The text of a TOML string; empty when it has one of the few escapes that JSON has not."""
    try:
        return str(json.loads(quoted))
    except ValueError:
        return ""
