"""What a server is started with, and what is told where it does not work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class ServerError(Exception):
    """A server did not do what it was asked.

    Args:
        sentence: says which one, and why.
        is_unknown: whether what was asked may have been done all the same.
    """

    def __init__(self, sentence: str, *, is_unknown: bool = False) -> None:
        super().__init__(sentence)
        self.is_unknown = is_unknown


class SessionGoneError(ServerError):
    """The server does not know the connection any more, and has not done what it was asked; a new one will do."""


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
