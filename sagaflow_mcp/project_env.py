"""The variables that a project's settings put into the environment, as far as its files say.

Claude Code reads them leniently and changes what it finds, so this reads them so that doubt is told: what may be set to
anything has None for its value.
"""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from sagaflow_mcp import paths

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILES = ("settings.json", "settings.local.json")
"""In a project's `.claude`. Tried with Claude Code 2.1.197 and 2.1.330: both files of the folder that it is started in,
and the second one of the repository's root and, for a worktree, of its main checkout."""

FILE_LIMIT = 1024 * 1024
POINTER_LIMIT = 4096
"""The longest `.git` file that is read; it holds one path."""

WORKTREES = os.path.join("", ".git", "worktrees", "")
"""What lies in a worktree's path to its repository, after the path of the main checkout."""

REPLACED = "\ufffd"
"""What a decoder puts in place of bytes that are no text."""

PLUGIN = "sagaflow"
OPTION = "CLAUDE_PLUGIN_OPTION_"
"""So begins the variable by which a plugin's hook gets an option. Claude Code 2.1.197 lets a project set those too."""


class Block(NamedTuple):
    """What one settings file sets."""

    file: str
    values: Mapping[str, str | None]
    """None is a value that Claude Code turns into another text."""
    is_unreadable: bool = False
    """Whether it may set anything to anything."""


def blocks(environ: Mapping[str, str], folder: str) -> Iterator[Block]:
    """What the settings of the project say that `environ` and the working folder `folder` belong to. Never raises.

    Every folder above counts: a command may have been started anywhere in the project. The user's own folder does
    not, except for what says which folder that is: a project may have made itself the user's folder.
    """
    user = os.path.realpath(paths.user_folder(environ))
    for each in _folders(environ.get("CLAUDE_PROJECT_DIR", ""), folder):
        for name in FILES:
            block = _read(os.path.join(each, ".claude", name))
            if os.path.realpath(each) != user:
                yield block
            elif block.is_unreadable or "HOME" in block.values:
                yield Block(block.file, {"HOME": block.values.get("HOME")})


def _folders(*starts: str) -> list[str]:
    """Each of `starts` and the folders above, nearest first, and the main checkouts of worktrees."""
    found: dict[str, None] = {}
    for start in starts:
        each = os.path.abspath(start) if start else ""
        while each and each not in found:
            found[each] = None
            main = _main_checkout(each)
            if main:
                found[main] = None
            each = os.path.dirname(each)
    return list(found)


def _main_checkout(folder: str) -> str:
    """The main checkout of the worktree in `folder`; empty when it is none."""
    data = _content(os.path.join(folder, ".git"), POINTER_LIMIT) or b""
    word, _, path = os.fsdecode(data).strip().partition(" ")
    main, mark, _ = os.path.join(folder, path).rpartition(WORKTREES)
    return os.path.abspath(main) if mark and word == "gitdir:" else ""


def _content(path: str, limit: int) -> bytes | None:
    """What is in the file `path`, empty when there is none; None when it cannot be read or is longer than `limit`."""
    try:
        # It may be a pipe, or a link to a device that never ends.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except (OSError, ValueError):
        return None
    try:
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(kind):
            return b""
        data = os.read(descriptor, limit + 1) if stat.S_ISREG(kind) else b"\0" * (limit + 1)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return data if len(data) <= limit else None


def _read(path: str) -> Block:
    data = _content(path, FILE_LIMIT)
    if data is None:
        return Block(path, {}, is_unreadable=True)
    if not data:
        return Block(path, {})
    # As Claude Code decodes it: UTF-16 with its mark, else UTF-8 with what is none of it replaced.
    is_wide = data.startswith(b"\xff\xfe")
    text = data.decode("utf-16-le" if is_wide else "utf-8", "replace")
    try:
        found = json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return Block(path, {}, is_unreadable=True)
    values: dict[str, str | None] = {}
    for name, value in (*_table(found, "env").items(), *_options(_table(found, "pluginConfigs"))):
        # In a child's environment such a name ends early and begins its value.
        real = name.partition("=")[0].partition("\0")[0]
        said = value if real == name and _is_plain(value) else None
        values[real] = said if values.get(real, said) == said else None
    return Block(path, values)


def _options(plugins: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The options that are set for our plugin, from whichever marketplace, by the variable that stands for each."""
    for plugin in plugins:
        if plugin.partition("@")[0] == PLUGIN:
            for option, value in _table(_table(plugins, plugin), "options").items():
                yield OPTION + option.upper(), value


def _table(found: Any, name: str) -> Mapping[str, Any]:
    inner = found.get(name) if isinstance(found, dict) else None
    return inner if isinstance(inner, dict) else {}


def _is_plain(value: object) -> bool:
    """Whether `value` is a text that reaches the environment as it stands."""
    if not isinstance(value, str) or "\0" in value or REPLACED in value:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)
