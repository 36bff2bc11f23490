"""One value in a TOML file, also where Python has no reader of its own: the system's python3 may be 3.9 or 3.10."""

from __future__ import annotations

import json
import re
from typing import Any

LIMIT = 1024 * 1024

HEADER = re.compile(r"\s*\[\s*([A-Za-z0-9_-]+)\s*\]\s*(?:#.*)?")
TRUTH = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=\s*(true|false)\s*(?:#.*)?")
PAIR = re.compile(r"""\s*([A-Za-z0-9_-]+)\s*=\s*("(?:[^"\\]|\\.)*"|'[^']*')\s*(?:#.*)?""")


def text_in(path: str, setting: str) -> str:
    """The text that the setting `setting`, as `table.name`, has in the file `path`.

    Empty when it has none, or the file cannot be read. Never raises.
    """
    value = _value(path, setting)
    return value if isinstance(value, str) else ""


def truth_in(path: str, setting: str) -> bool | None:
    """Whether the setting `setting` of the file `path` is true; None where it has none of the two. Never raises."""
    value = _value(path, setting)
    return value if isinstance(value, bool) else None


def _value(path: str, setting: str) -> object:
    try:
        with open(path, encoding="utf-8") as file:
            content = file.read(LIMIT)
    except (OSError, ValueError):
        return None
    table, _, name = setting.partition(".")
    try:
        import tomllib  # noqa: PLC0415 - not there before Python 3.11
    except ImportError:
        found: Any = plain(content)
    else:
        try:
            found = tomllib.loads(content)
        except (ValueError, RecursionError):
            return None
    values = found.get(table)
    return values.get(name) if isinstance(values, dict) else None


def plain(content: str) -> dict[str, dict[str, str | bool]]:
    """The texts and truths in each table of `content` that are written plainly: a line each, below the table's name.

    None of those in a file that has a text of several lines, which may look like anything.
    """
    found: dict[str, dict[str, str | bool]] = {}
    values: dict[str, str | bool] = {}
    for line in [] if '"""' in content or "'''" in content else content.splitlines():
        header, pair, truth = HEADER.fullmatch(line), PAIR.fullmatch(line), TRUTH.fullmatch(line)
        if header:
            values = found.setdefault(header[1], {})
        elif line.lstrip().startswith("["):
            values = {}
        elif pair:
            values[pair[1]] = pair[2][1:-1] if pair[2].startswith("'") else _unescaped(pair[2])
        elif truth:
            values[truth[1]] = truth[2] == "true"
    return {table: {name: value for name, value in kept.items() if value != ""} for table, kept in found.items()}


def _unescaped(quoted: str) -> str:
    """The text of a TOML string; empty when it has one of the few escapes that JSON has not."""
    try:
        return str(json.loads(quoted))
    except ValueError:
        return ""
