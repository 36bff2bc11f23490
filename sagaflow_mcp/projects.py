"""The project that a folder belongs to, as far as it brings skills of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import paths

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def find(folder: str, environ: Mapping[str, str]) -> Path | None:
    """The nearest folder with a `.claude/skills`, from `folder` up to the root of its repository; None when none has.

    With links followed, so that a project has one name. The user's own folder is no project, nor is what lies above.
    """
    for each in _upwards(folder, environ):
        if os.path.isdir(skills(each)):  # noqa: PTH112 - Path.is_dir raises where a folder may not be searched
            return each
    return None


def skills(project: Path) -> Path:
    """Where `project` has its skills."""
    return project / ".claude" / "skills"


def _upwards(folder: str, environ: Mapping[str, str]) -> Iterator[Path]:
    """The folders that may be the project of `folder`, nearest first."""
    user = Path(os.path.realpath(paths.user_folder(environ)))
    here = Path(os.path.realpath(folder))
    for each in (here, *here.parents):
        if each in {user, *user.parents}:
            return
        yield each
        # In a worktree and in a submodule it is a file.
        if os.path.lexists(each / ".git"):
            return
