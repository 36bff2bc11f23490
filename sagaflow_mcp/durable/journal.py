"""The step journal: results of finished steps, kept before Temporal hears of them.

So a step whose worker died after the answer came, or that a reset makes run again, is served instead of paid twice.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from sagaflow_mcp import paths

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from temporalio.api.common.v1 import Payload

_IN_ORDER = re.compile(r"\d+\.\d+")
"""The end of a key: which of the run's executions, and which of the steps of that content in it, both from 0."""


def step_hash(activity_type: str, arguments: Sequence[Payload], *, scope: str, neutral: Sequence[str]) -> str:
    """What identifies a step by its content: 32 hexadecimal digits.

    Args:
        activity_type: the activity's name.
        arguments: its arguments, converted but not sealed.
        scope: empty for a run's own steps; for those of a child workflow, the child's id without the run's.
        neutral: texts that differ from run to run, such as the run's folder; they do not count.
    """
    digest = hashlib.sha256(f"{scope}\0{activity_type}\0".encode())
    for payload in arguments:
        data = payload.data
        for index, text in enumerate(neutral):
            data = data.replace(text.encode(), b"\0%d" % index)
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.hexdigest()[:32]


def prompt_key(scope: str, key: str) -> str:
    """The key of a function's prompt, which is the same whether it is asked by itself or with others.

    Args:
        scope: as of `step_hash`.
        key: tells the prompt from every other of its workflow.
    """
    return f"prompt-{hashlib.sha256(f'{scope}{chr(0)}{key}'.encode()).hexdigest()[:32]}"


class Journal:
    """The journal of one run: a folder with one sealed file per finished step."""

    def __init__(self, run_dir: Path) -> None:
        self._folder = run_dir / "journal"

    def read(self, key: str) -> bytes | None:
        """The sealed result of step `key`; None when it has not finished."""
        try:
            return (self._folder / key).read_bytes()
        except FileNotFoundError:
            return None

    def ordinal(self, key: str) -> int:
        """How many finished steps of the same content come before step `key`, which may be in other executions."""
        return sum(_place(each) < _place(key) for each in self._alike(key))

    def nth(self, key: str, ordinal: int) -> bytes | None:
        """The sealed result of the finished step of the content of `key` that so many come before; None without one."""
        alike = sorted(self._alike(key), key=_place)
        return self.read(alike[ordinal]) if ordinal < len(alike) else None

    def _alike(self, key: str) -> list[str]:
        """The finished steps of the same content as step `key`."""
        content = key.rpartition("-")[0]
        names = [path.name for path in self._folder.glob(f"{content}-*")]
        return [name for name in names if _IN_ORDER.fullmatch(name.removeprefix(f"{content}-"))]

    def write(self, key: str, sealed: bytes) -> None:
        """Keep `sealed` as the result of step `key`; on disk when this returns. OSError if it cannot be written."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths.write_atomically(str(self._folder / key), sealed)


def _place(key: str) -> tuple[int, ...]:
    """What the keys of steps of the same content are in order by."""
    return tuple(int(each) for each in key.rpartition("-")[2].split(".") if each.isdigit())
