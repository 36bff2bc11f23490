"""What a run's transcript says of the attempts at a step."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from sagaflow_mcp import artifacts, records

if TYPE_CHECKING:
    from pathlib import Path

    from sagaflow_mcp.durable.context import StepContext


@dataclasses.dataclass
class StepEvents:
    """The transcript lines of one attempt. A line that cannot be written is left out: it must not fail the step."""

    run_dir: Path
    step: StepContext
    label: str
    attempt: int = 1
    began: float = dataclasses.field(default_factory=time.monotonic)

    def served(self) -> None:
        """The result came from the journal."""
        self._append("step_served")

    def started(self) -> None:
        """The attempt begins."""
        self.began = time.monotonic()
        self._append("step_started", worker=self.step.services.identity)

    def finished(self) -> None:
        """The attempt has a result, which the journal has too."""
        for warning in self.step.warnings:
            self._append("step_warned", warning=records.one_line(warning))
        self._append("step_finished", seconds=self._seconds(), tokens=self._tokens())

    def failed(self, error: BaseException) -> None:
        """The attempt failed, or its result cannot be kept yet."""
        told = records.one_line(str(error) or type(error).__name__)
        self._append("step_failed", seconds=self._seconds(), error=told, tokens=self._tokens())

    def cancelled(self) -> None:
        """The attempt was stopped."""
        self._append("step_cancelled", seconds=self._seconds())

    def _tokens(self) -> list[dict[str, object]]:
        """What the replies since the last line have cost: each is told once, also of an attempt that fails."""
        replies = self.step.replies.copy()
        self.step.replies.clear()
        return [
            {
                "model": reply.model,
                "input": reply.input_tokens,
                "output": reply.output_tokens,
                "cache_read": reply.cache_read_tokens,
                "cache_creation": reply.cache_creation_tokens,
                **({} if reply.cost_usd is None else {"cost_usd": reply.cost_usd}),
            }
            for reply in replies
        ]

    def _seconds(self) -> float:
        return round(time.monotonic() - self.began, 3)

    def _append(self, event: str, **fields: object) -> None:
        about = {"step": self.step.key, "label": self.label, "attempt": self.attempt}
        artifacts.note_event(self.run_dir, event, **about, **fields)
