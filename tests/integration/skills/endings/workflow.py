"""A workflow that returns, raises, waits or asks a model, as it is told."""

import asyncio
import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from sagaflow_mcp.durable.activities import SpawnSubagentInput, WriteArtifactInput
    from sagaflow_mcp.durable.retry_policies import HAIKU_POLICY


@dataclass(frozen=True)
class Ending:
    """Which way to end."""

    how: str


@activity.defn
def deadly() -> None:
    """A step that takes its worker along, as a crash in a C library would."""
    os._exit(1)


@activity.defn
async def leaving() -> None:
    """A step that tries to."""
    sys.exit("the step left on purpose")


@activity.defn
def broken() -> None:
    """A step that is a plain function and raises."""
    raise LookupError("the step broke on purpose")


@activity.defn
async def broken_later() -> None:
    """The same as a coroutine."""
    await asyncio.sleep(0)
    raise LookupError("the step broke on purpose")


@workflow.defn
class EndingsWorkflow:
    """Ends as it is told."""

    def __init__(self) -> None:
        self.words: list[str] = []

    @workflow.run
    async def run(self, given: Ending) -> Any:
        """Whatever `given.how` leads to."""
        if given.how == "raise":
            raise RuntimeError("the workflow broke on purpose")
        if given.how == "unserialisable":
            return object()
        if given.how == "bytes":
            return b"some bytes"
        if given.how == "exit":
            sys.exit("the workflow left on purpose")
        if given.how in {"deadly", "leaving"}:
            return await workflow.execute_activity(given.how, start_to_close_timeout=timedelta(minutes=1))
        if given.how in {"broken", "broken_later"}:
            once = RetryPolicy(maximum_attempts=1)
            return await workflow.execute_activity(
                given.how, start_to_close_timeout=timedelta(minutes=1), retry_policy=once
            )
        if given.how == "model":
            return await self._ask()
        if given.how == "wait":
            await workflow.wait_condition(lambda: bool({"enough", "spin", "crash"} & {*self.words}))
            self._misbehave()
        return f"heard {self.words}"

    def _misbehave(self) -> None:
        while "spin" in self.words:
            pass
        if "crash" in self.words:
            with workflow.unsafe.sandbox_unrestricted():
                os._exit(1)

    async def _ask(self) -> str:
        path = await workflow.execute_activity(
            "write_artifact",
            WriteArtifactInput(path="prompt.txt", content="a planted-prompt-word"),
            start_to_close_timeout=timedelta(seconds=10),
            result_type=str,
        )
        reply: dict[str, str] = await workflow.execute_activity(
            "spawn_subagent",
            SpawnSubagentInput(
                role="asker", tier_name="HAIKU", system_prompt="planted-system-word", user_prompt_path=path
            ),
            start_to_close_timeout=timedelta(minutes=5),
            retry_policy=HAIKU_POLICY,
            result_type=dict[str, str],
        )
        return reply["RESPONSE"]

    @workflow.signal
    async def say(self, word: str) -> None:
        """Remember a word; raise on the one that asks for it."""
        if word == "raise":
            raise RuntimeError("the signal handler broke on purpose")
        self.words.append(word)

    @workflow.signal
    async def knock(self) -> None:
        """A signal without an argument."""
        self.words.append("knock")

    @workflow.update
    async def shout(self, word: str) -> str:
        """Remember a word, loudly."""
        self.words.append(word.upper())
        return word.upper()

    @workflow.update
    async def whisper(self) -> str:
        """An update without an argument."""
        self.words.append("whisper")
        return "whispered"
