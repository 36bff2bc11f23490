"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "info", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One finding."""

    name: str
    level: Level
    finding: str
    cure: str = ""
