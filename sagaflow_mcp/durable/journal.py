"""The step journal: results of finished steps, kept before Temporal hears of them.

So a step whose worker died after the answer came, or that a reset makes run again, is served instead of paid twice.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sagaflow_mcp import paths

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from temporalio.api.common.v1 import Payload


def step_hash(activity_type: str, arguments: Sequence[Payload], *, scope: str, neutral: Sequence[str]) -> str:
    """What identifies a step by its content: 32 hexadecimal digits.

    Args:
        activity_type: the activity's name.
        arguments: its arguments, converted but not sealed.
        scope: empty for a run's own steps; for those of a child workflow, the child's id.
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

    def write(self, key: str, sealed: bytes) -> None:
        """Keep `sealed` as the result of step `key`; on disk when this returns. OSError if it cannot be written."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths.write_atomically(str(self._folder / key), sealed)
