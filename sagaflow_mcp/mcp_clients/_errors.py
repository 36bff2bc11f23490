"""What is told of a server that does not work.

ServerError
└── SessionGoneError
"""

from __future__ import annotations


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
