"""What the agents of a run may do without asking a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Permits:
    """The tools that the agents of one execution use without asking, beyond what their skill declares.

    Args:
        launch: those that the launch allows.
        granted: those that people have allowed for the whole run; the list is kept, so that the next execution gets it.
    """

    def __init__(self, launch: Iterable[str], granted: list[str]) -> None:
        self.launch = tuple(launch)
        self._granted = granted

    def has(self, tool: str) -> bool:
        """Whether a person has allowed all calls of `tool`."""
        return tool in self._granted

    def grant(self, tool: str) -> None:
        """Allow all calls of `tool` from now on."""
        if tool not in self._granted:
            self._granted.append(tool)
