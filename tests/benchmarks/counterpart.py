"""The other side of each comparison of steps: a bare Temporal worker and a bare model client, in a process of its own.

`python -m tests.benchmarks.counterpart ADDRESS` answers each line `same N`, `other N`, `lanes N` or `model N` on its
standard input with the seconds that one of `N` took: a step on the workflow's own queue, one on another queue, one of
those in `LANES` lanes, a model call.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from temporalio.client import Client
from temporalio.worker import Worker

from tests.benchmarks.bare_steps import BareLanes, BareSteps, nothing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from temporalio.client import WorkflowHandle

ROOT = Path(__file__).parents[2]

LANES = 50
"""How many steps are in flight in a fan-out."""

OWN, OTHER = "bench-own", "bench-other"
"""The queues of the workflow and of a second worker."""


class Counterpart:
    """A client of the process, which ends with the context.

    Args:
        address: where the Temporal server is.
        environ: the environment that leads to the model.
    """

    def __init__(self, address: str, environ: Mapping[str, str]) -> None:
        self._command = [sys.executable, "-m", "tests.benchmarks.counterpart", address]
        self._environ = {**environ, "PYTHONPATH": str(ROOT)}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, env=self._environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)

    def seconds(self, kind: str, count: int) -> float:
        """What one of `count` took; RuntimeError when the process has failed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{kind} {count}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process that is compared with ended: {self._process.wait()}")
        return float(answer)


async def _serve(address: str) -> None:
    client = await Client.connect(address)
    own = Worker(client, task_queue=OWN, workflows=[BareSteps, BareLanes], activities=[nothing])
    other = Worker(client, task_queue=OTHER, activities=[nothing])
    async with own, other:
        while line := await asyncio.to_thread(sys.stdin.readline):
            kind, count = line.split()
            seconds = await _calls(int(count)) if kind == "model" else await _steps(client, kind, int(count))
            print(seconds, flush=True)  # noqa: T201 (this is the answer)


async def _steps(client: Client, kind: str, count: int) -> float:
    queue = OWN if kind == "same" else OTHER
    run, args = (BareLanes.run, [queue, count, LANES]) if kind == "lanes" else (BareSteps.run, [queue, count])
    handle: WorkflowHandle[Any, None] = await client.start_workflow(
        run, args=args, id=f"bench-{uuid.uuid4()}", task_queue=OWN
    )
    await handle.result()
    found = await handle.describe()
    assert found.close_time is not None
    return (found.close_time - found.start_time).total_seconds() / count


async def _calls(count: int) -> float:
    # Imported here: it takes two seconds, which the comparison of plain steps need not wait for.
    from sagaflow_mcp import models  # noqa: PLC0415
    from sagaflow_mcp.credentials import found_in  # noqa: PLC0415

    credentials = found_in(os.environ)
    request = models.ModelRequest(tier="HAIKU", system="Answer.", user="bench", max_tokens=4096)
    transport = models.MessagesApi()
    try:
        for index in range(count + 1):
            if index == 1:  # The first call connects.
                began = time.perf_counter()
            await transport.complete(request, credentials=credentials)
        return (time.perf_counter() - began) / count
    finally:
        await transport.close()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
