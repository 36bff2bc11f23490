"""The skills as lists show them, with what was found out about the versions that they are now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sagaflow_mcp import catalog, digest, probe
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagaflow_mcp.catalog import Listed, Root
    from sagaflow_mcp.paths import Home


@dataclass(frozen=True)
class Shown:
    """A skill, and its version."""

    listed: Listed
    digest: str
    """Empty where it cannot be read."""


def overview(home: Home, roots: Sequence[Root]) -> list[Shown]:
    """Every skill in `roots` by name; broken ones also with why they could not be loaded. Never raises."""
    return [_shown(home, each) for each in catalog.listing(roots)]


def _shown(home: Home, listed: Listed) -> Shown:
    try:
        version = digest.snapshot(str(listed.path)).digest
    except Refusal as error:
        return Shown(replace(listed, problem=listed.problem or str(error)), "")
    return Shown(replace(listed, problem=listed.problem or probe.last_problem(home, listed.name, version)), version)
