"""What the MCP server says of itself, so that the launcher can say it before the server has been started.

`manifest.json` holds the server's own answers in both generations of the protocol. `python -m
sagaflow_mcp.self_portrait` writes it, and a test holds the two equal.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "manifest.json")

LISTS = ("tools/list", "resources/list", "resources/templates/list", "prompts/list")
"""What is listed without a parameter; a cursor asks for a page that only the server itself can have."""


class Manifest(NamedTuple):
    """The answers by method, as they go over the wire."""

    modern: Mapping[str, Any]
    """With an envelope in each request: protocol 2026-07-28."""
    legacy: Mapping[str, Any]
    """After an `initialize`."""
    handshake_versions: tuple[str, ...]
    """The protocol versions that `initialize` can settle on, oldest first."""

    @classmethod
    def load(cls) -> Manifest:
        """The manifest beside this module."""
        with open(PATH, encoding="utf-8") as file:
            found = json.load(file)
        return cls(found["modern"], found["legacy"], tuple(found["handshake_versions"]))

    @property
    def modern_versions(self) -> list[str]:
        """The protocol versions that an envelope can name."""
        return list(self.modern["server/discover"]["supportedVersions"])

    def greeting(self, wanted: Any) -> dict[str, Any]:
        """The answer to an `initialize` for the protocol version `wanted`: that one, or else the newest."""
        version = wanted if wanted in self.handshake_versions else self.handshake_versions[-1]
        return {**self.legacy["initialize"], "protocolVersion": version}

    def without_offers(self) -> Manifest:
        """The same server with nothing to list and nothing to say."""
        return self._replace(modern=_bare(self.modern), legacy=_bare(self.legacy))


def _bare(answers: Mapping[str, Any]) -> dict[str, Any]:
    """`answers` with their lists and instructions empty."""
    return {
        method: {
            name: [] if method in LISTS and isinstance(value, list) else value
            for name, value in answer.items()
            if name != "instructions"
        }
        for method, answer in answers.items()
    }
