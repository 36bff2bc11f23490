"""Names that runs and task queues go by."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from sagaflow_mcp import records
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from datetime import datetime

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
"""Without characters that are taken for each other when read aloud or typed."""


def new_run_id(skill: str, now: datetime, randomness: bytes) -> str:
    """A fresh run id, `<skill>-<yyyymmdd>-<hhmmss>-<4 characters>`; `randomness` is at least four bytes."""
    tail = "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in randomness[:4])
    return f"{skill}-{now:%Y%m%d-%H%M%S}-{tail}"


def parse_run_id(text: str) -> str:
    """`text` itself when it can name a run; Refusal otherwise."""
    if not records.is_run_id(text):
        raise Refusal(
            f"run id {text[:120]!r} is not valid: 1 to 100 of a-z, 0-9, '.', '_' and '-', the first a letter or a digit"
        )
    return text


class SkillQueue(NamedTuple):
    """The task queue of one version of one skill."""

    home_id: str
    skill: str
    digest: str

    def __str__(self) -> str:
        return f"{queue_prefix(self.home_id)}skill.{self.skill}.{self.digest}"

    @classmethod
    def parse(cls, text: str) -> SkillQueue | None:
        """The queue that `text` names; None when it is not one of ours."""
        found = re.fullmatch(r"sagaflow\.([0-9a-f]+)\.skill\.([a-z0-9_-]+)\.([0-9a-f]{64})", text)
        return cls(*found.groups()) if found else None

    @classmethod
    def of_home(cls, home_id: str, text: str) -> SkillQueue | None:
        """The queue that `text` names; None when it is not one of the home `home_id`."""
        found = cls.parse(text)
        return found if found and found.home_id == home_id else None


def model_queue(home_id: str) -> str:
    """The task queue of the home's model calls."""
    return f"{queue_prefix(home_id)}model"


_DUE = re.compile(r"(sagaflow\.[^.]+\.schedule\.[a-z0-9_-]+)-[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z")


def are_of_one_schedule(first: str, second: str) -> bool:
    """Whether these are two workflows that Temporal starts for the same schedule, each for a time that it is due."""
    found = [match and match.group(1) for match in map(_DUE.fullmatch, (first, second))]
    return found[0] is not None and found[0] == found[1]


def queue_prefix(home_id: str) -> str:
    """How the names of all the home's task queues begin, and of no other's."""
    return f"sagaflow.{home_id}."
