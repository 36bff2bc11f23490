"""Record the histories of this version: `python tests/replay/record.py`, before a release that commands something new.

Each part of the skill `recorded` is run for real; its histories go to `histories/<version>/`, with the key that opens
them. Histories of former versions stay as they are: runs that were open then must replay with today's code.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from sagaflow_mcp import __version__, engine_client, temporal
from sagaflow_mcp.testing import LocalSagaflow, Rule

if TYPE_CHECKING:
    from temporalio.client import Client

HERE = Path(__file__).parent
PARTS = ("steps", "parallel", "child", "signals", "continue")


def main() -> None:
    """Write `histories/<version>/` anew."""
    folder = HERE / "histories" / __version__
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with LocalSagaflow(skills=[HERE / "skills"]) as local:
        local.model.add(Rule(match="say something", reply="something"))
        for part in PARTS:
            local.launch("recorded", run_id=f"recorded-{part}", part=part)
        anyio.run(_write, local, folder)
        shutil.copy(local.settings.home.key, folder / "key")


async def _write(local: LocalSagaflow, folder: Path) -> None:
    client = await temporal.connect(local.settings.home, engine_client.ready(local.settings.home))
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
        path = folder / f"{execution.id}.{number}.json"
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        number += 1


if __name__ == "__main__":
    main()
