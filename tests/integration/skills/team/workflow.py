"""A workflow with parallel branches, a child, and different ways to take a cancellation."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.exceptions import CancelledError

with workflow.unsafe.imports_passed_through():
    from sagaflow_mcp.durable.activities import SpawnSubagentInput, WriteArtifactInput
    from sagaflow_mcp.durable.retry_policies import HAIKU_POLICY

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Team:
    """What it does: `ask` beside a child, `tidy` or `ignore` when it is cancelled, or one of `DAWDLERS`."""

    what: str
    file: str = ""


@activity.defn
async def dawdle(file: str) -> None:
    """Wait for long, without a heartbeat, and leave a word in `file` when cancelled."""
    await asyncio.to_thread(Path(f"{file}.begun").touch)
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        await asyncio.to_thread(Path(file).write_text, "cancelled", encoding="utf-8")
        raise


@activity.defn
def dawdle_in_thread(file: str) -> None:
    """The same in a function that is not asynchronous."""
    Path(f"{file}.begun").touch()
    try:
        for _ in range(6000):
            time.sleep(0.1)
    except CancelledError:
        Path(file).write_text("cancelled", encoding="utf-8")
        raise


async def ask(text: str) -> str:
    """The model's reply."""
    prompt = f"{text.replace(' ', '-')}.prompt.md"
    await write(prompt, text)
    reply = await workflow.execute_activity(
        "spawn_subagent",
        SpawnSubagentInput(role=text, tier_name="HAIKU", system_prompt="Reply.", user_prompt_path=prompt),
        start_to_close_timeout=MINUTE,
        retry_policy=HAIKU_POLICY,
        result_type=dict[str, str],
    )
    return reply["RESPONSE"]


DAWDLERS = {"dawdle": dawdle, "dawdle_in_thread": dawdle_in_thread}


async def write(name: str, text: str = "") -> None:
    """Leave an artifact."""
    await workflow.execute_activity("write_artifact", WriteArtifactInput(name, text), start_to_close_timeout=MINUTE)


@workflow.defn
class ChildWorkflow:
    """Asks, leaves an artifact, and asks again."""

    @workflow.run
    async def run(self) -> str:
        """Both replies."""
        first = await ask("child first")
        await write("child.md")
        return f"{first}, {await ask('child second')}"


@workflow.defn
class TeamWorkflow:
    """Does what it is told."""

    @workflow.run
    async def run(self, given: Team) -> list[str]:
        """What was said."""
        if given.what == "ask":
            return list(await asyncio.gather(self._asked(), workflow.execute_child_workflow(ChildWorkflow.run)))
        if given.what in DAWDLERS:
            step = DAWDLERS[given.what]
            await workflow.execute_activity(step, given.file, start_to_close_timeout=timedelta(hours=1))
        if given.what == "ignore":
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
            await asyncio.sleep(3600)
        try:
            await asyncio.sleep(3600)
        finally:
            await write("tidied.md")
        return []

    async def _asked(self) -> str:
        return f"{await ask('parent first')}, {await ask('parent second')}"
