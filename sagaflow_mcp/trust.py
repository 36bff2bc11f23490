"""What the user trusts of projects' skills: for each project, by name, the digest of what a skill held.

It is written down by the project's place and the skill's name, not by the place that a link leads to: else one project
could have the code of another run under a name of its choice.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import paths, processes
from sagaflow_mcp.errors import Failure, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sagaflow_mcp.paths import Home

    Projects = dict[str, dict[str, str]]
    """By the project's path, the digests of its skills by their names."""

SCHEMA = 1
"""The version of the file."""

LOCK_SECONDS = 5.0
"""How long another command may take to change the file."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


def trusted(home: Home, project: Path) -> dict[str, str]:
    """The digests of the skills of `project` that the user trusts, by name; Refusal when that cannot be read."""
    return _read(home).get(str(project), {})


def put(home: Home, project: Path, skills: Mapping[str, str]) -> None:
    """Have the user trust these `skills` of `project`, given as `trusted` returns them, and no others of it.

    Raises:
        Refusal: what is trusted so far cannot be read; nothing is changed.
        Failure: the file cannot be written.
    """
    with _changed(home) as projects:
        projects[str(project)] = dict(skills)


def remove(home: Home, project: Path) -> bool:
    """Whether something of `project` was trusted; it is not any more. Raises as `put` does."""
    with _changed(home) as projects:
        return projects.pop(str(project), None) is not None


@contextmanager
def _changed(home: Home) -> Iterator[Projects]:
    """What is trusted, written once it has been changed. Nobody else changes it meanwhile."""
    try:
        lock = processes.acquire(str(Path(home.engine) / "trust.lock"), LOCK_SECONDS)
        if lock is None:
            raise Failure(f"{home.trust!r} is being changed by another command that does not end; try again")
        try:
            projects = _read(home)
            yield projects
            text = json.dumps({"schema": SCHEMA, "projects": projects}, indent=1, sort_keys=True)
            paths.write_atomically(home.trust, text + "\n")
        finally:
            os.close(lock)
    except OSError as error:
        raise Failure(f"{home.trust!r} cannot be changed: {error.strerror or error}") from error


def _read(home: Home) -> Projects:
    try:
        return _parsed(Path(home.trust).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise Refusal(
            f"{home.trust!r}, which says what projects' skills you trust, cannot be read: {error}; "
            "move it away, and no project is trusted"
        ) from error


def _parsed(text: str) -> Projects:
    """What is trusted by the file with `text`; ValueError when it is not exactly that."""
    found = json.loads(text)
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise ValueError(f"it is not of version {SCHEMA}")
    projects = found.get("projects")
    if not isinstance(projects, dict) or not all(_is_project(each) for each in projects.values()):
        raise ValueError("it holds something else than digests of skills by project")
    return projects


def _is_project(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) and _DIGEST.fullmatch(each) for each in value.values())
