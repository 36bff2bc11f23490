"""Changes of a home's `config.toml` that leave everything else in it as it is, comments and order too."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from sagaflow_mcp import paths, processes, settings
from sagaflow_mcp.errors import Failure, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tomlkit import TOMLDocument

    from sagaflow_mcp.paths import Home

LOCK_SECONDS = 5.0
"""How long another command may take to change the file."""


def put(home: Home, name: str, value: Any) -> None:
    """Have the setting `name`, as `table.name`, be `value` in the file, which is made if need be.

    Raises:
        Refusal: the file, as it would be then, is not in order; nothing is changed.
        Failure: it cannot be written.
    """
    table, _, last = name.partition(".")
    with _changed(home) as content:
        if not isinstance(content.setdefault(table, tomlkit.table()), dict):
            settings.checked(content.unwrap(), home.config)
        content[table][last] = value
        settings.checked(content.unwrap(), home.config)


def remove(home: Home, name: str) -> bool:
    """Whether the setting `name` was in the file; it is not any more. As `put` otherwise, but slips may remain."""
    table, _, last = name.partition(".")
    with _changed(home) as content:
        values = content.get(table)
        if not isinstance(values, dict) or last not in values:
            return False
        del values[last]
    return True


@contextmanager
def _changed(home: Home) -> Iterator[TOMLDocument]:
    """The content of the file, written once it has been changed. Nobody else changes it meanwhile."""
    # A user may keep the file elsewhere and have a link here.
    path = Path(os.path.realpath(home.config))
    try:
        lock = processes.acquire(str(Path(home.engine) / "config.lock"), LOCK_SECONDS)
        if lock is None:
            raise Failure(f"{home.config!r} is being changed by another command that does not end; try again")
        try:
            before = path.read_text(encoding="utf-8") if path.exists() else ""
            settings.toml(before, home.config)
            content = tomlkit.parse(before)
            yield content
            after = tomlkit.dumps(content)
            if after != before:
                settings.toml(after, home.config)
                paths.write_atomically(str(path), after)
        finally:
            os.close(lock)
    except (UnicodeDecodeError, TOMLKitError) as error:
        raise Refusal(settings.unreadable(home.config, error)) from None
    except OSError as error:
        raise Failure(f"{home.config!r} cannot be changed: {error.strerror or error}") from error
