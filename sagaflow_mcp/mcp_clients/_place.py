"""What a server is started with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Place:
    """Where a server works."""

    run_id: str
    """The run that it works for."""
    folder: Path
    """The working folder of its process."""
    log: Path
    """The file of what its process says on standard error."""
    environ: Mapping[str, str]
    """The environment of its process, without its own `env`."""
