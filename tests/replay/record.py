"""Record the histories of this version: `python tests/replay/record.py`, before a release that commands something new.

Each part of the skills `recorded` and `recorded-function` is run for real; their histories go to
`histories/<version>/`, with the key that opens them. Histories of former versions stay as they are: runs that were open
then must replay with today's code.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

sys.path[0] = str(Path(__file__).parents[2])

from sagaflow_mcp import (  # noqa: E402 (found by the line above)
    __version__,
    answering,
    keys,
    launch,
    runs,
    schedule_server,
    schedules,
    steering,
    temporal,
)
from sagaflow_mcp.testing import LocalSagaflow, Rule, ToolUse  # noqa: E402
from tests.integration.own_temporal import FEW_EVENTS, DevServer, own_server  # noqa: E402
from tests.waiting import eventually  # noqa: E402

if TYPE_CHECKING:
    from temporalio.client import Client

HERE = Path(__file__).parent
PARTS = ("steps", "parallel", "child", "signals", "continue")


def main() -> None:
    """Write `histories/<version>/` anew."""
    folder = HERE / "histories" / __version__
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as database, DevServer(Path(database), *FEW_EVENTS) as server:
        local = own_server(server.address, HERE / "skills")
        with local:
            looking = Rule(match="Look around", tools=(ToolUse(name="glob", input={"pattern": "*"}),), times=1)
            sharing = Rule(
                match="Share it out", tools=(ToolUse(name="spawn_subagent", input={"task": "One part"}),), times=1
            )
            sharer = Rule(match="One part", tools=(ToolUse(name="bash", input={"command": "echo done"}),), times=1)
            local.model.add(Rule(match="say something", reply="something"), looking, sharing, sharer)
            for part in PARTS:
                local.launch("recorded", run_id=f"recorded-{part}", part=part)
            _functions(local)
            anyio.run(_due, local, server.address)
            anyio.run(_write, local, server.address, folder)
            shutil.copy(local.settings.home.key, folder / "key")


def _functions(local: LocalSagaflow) -> None:
    """Run what a function can do, and one that is so long that it is continued as new."""
    whole = local.launch("recorded-function", run_id="function-all")
    eventually(lambda: runs.get(local.settings.home, whole).questions, "the run asks")
    anyio.run(answering.answer, local.settings, whole, "yes")
    many = local.launch("recorded-function", run_id="function-many", part="many", count=60)
    batches = local.launch("recorded-function", run_id="function-batches", part="batches", count=60)
    agents = local.launch("recorded-function", run_id="function-agents", part="agents")
    (asked,) = eventually(lambda: runs.get(local.settings.home, agents).questions, "the subagent asks")
    anyio.run(answering.decide, local.settings, asked, "allow for this run")
    paused = local.launch("recorded-function", run_id="function-paused")
    eventually(lambda: runs.get(local.settings.home, paused).questions, "the run asks")
    anyio.run(steering.pause, local.settings, paused)
    anyio.run(answering.answer, local.settings, paused, "yes")
    eventually(lambda: not runs.get(local.settings.home, paused).questions, "the run has the answer")
    anyio.run(steering.resume, local.settings, paused)
    for run_id in (whole, many, batches, agents, paused):
        print(run_id, local.wait(run_id).result)  # noqa: T201 - shown to the recorder


async def _due(local: LocalSagaflow, address: str) -> None:
    """Have a workflow begin as at a time of a schedule; it is none, and so nothing is launched."""
    home = local.settings.home
    await schedules.add(
        local.settings, schedules.Wanted("yearly", "@yearly"), launch.Request("recorded", {"part": "steps"})
    )
    client = await temporal.connect(home, address)
    await client.get_schedule_handle(schedule_server.server_id(keys.KeyRing.of(home).home_id, "yearly")).trigger()
    begun = f"WorkflowType = '{schedule_server.WORKFLOW}'"
    for pause in range(10):  # It is listed a moment later.
        await anyio.sleep(pause)
        async for due in client.list_workflows(begun):
            print("due", await client.get_workflow_handle(due.id).result())  # noqa: T201 - shown to the recorder
            return
    raise TimeoutError("nothing has begun")


async def _write(local: LocalSagaflow, address: str, folder: Path) -> None:
    client = await temporal.connect(local.settings.home, address)
    await client.get_workflow_handle("recorded-signals").signal("say", "hello")
    await client.get_workflow_handle("recorded-signals").signal("say", "enough")
    for part in PARTS:
        print(part, await client.get_workflow_handle(f"recorded-{part}").result())  # noqa: T201 - shown to the recorder
    await _fetch(client, folder)


async def _fetch(client: Client, folder: Path) -> None:
    number = 0
    async for execution in client.list_workflows():
        history = await client.get_workflow_handle(execution.id, run_id=execution.run_id).fetch_history()
        content = {"workflow_id": execution.id, "history": history.to_json_dict()}
        # A schedule's has the home's id in its own, and the time.
        name = "schedule-due" if execution.workflow_type == schedule_server.WORKFLOW else execution.id
        path = folder / f"{name.replace('/', '-')}.{number}.json"
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        number += 1


if __name__ == "__main__":
    main()
