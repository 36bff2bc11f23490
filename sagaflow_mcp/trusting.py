"""What a person has to know of a project's skills before they can trust them. Nothing of them is run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import catalog, digest
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.registry import NAME, NAME_RULE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagaflow_mcp.catalog import Root


@dataclass(frozen=True)
class Candidate:
    """A skill of a project, as it is now."""

    name: str
    """The folder's name, which is the project's choice: any text."""
    digest: str = ""
    files: int = 0
    """How many files the digest is of."""
    before: str = ""
    """The digest that is trusted so far; empty when there is none."""
    problem: str = ""
    """Why it cannot be trusted; empty when it can."""


def candidates(root: Root) -> list[Candidate]:
    """The skills in `root`, a project's, by name. Never raises."""
    return [_candidate(root.path, name, root.trusted or {}) for name in sorted(catalog.names(root.path))]


def _candidate(folder: Path, name: str, trusted: Mapping[str, str]) -> Candidate:
    try:
        _check_name(name)
        _check_place(folder, name)
        found = digest.snapshot(str(folder / name))
    except Refusal as error:
        return Candidate(name, problem=str(error))
    return Candidate(name, found.digest, len(found.files), trusted.get(name, ""))


def _check_name(name: str) -> None:
    if not NAME.match(name):
        raise Refusal(f"that is not a skill's name: {NAME_RULE}")


def _check_place(folder: Path, name: str) -> None:
    """Return when the skill lies in its project; Refusal when a link leads to where nobody would look at its code."""
    project = folder.parents[1]
    place = Path(os.path.realpath(folder / name))
    if project not in place.parents:
        raise Refusal(f"a symbolic link leads out of the project, to {str(place)!r}")
