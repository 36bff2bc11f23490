"""Three runs that stand still at once: in a model call, in a workflow task, and idle.

What is done to them meanwhile must leave each with its whole result, one entry, and no finished step taken again.
"""

from __future__ import annotations

import socket
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from temporalio.service import RPCError

from sagaflow_mcp import artifacts, markers, processes, temporal, temporal_server
from sagaflow_mcp.errors import Failure
from sagaflow_mcp.testing import LocalSagaflow, Rule
from tests import process_table
from tests.waiting import LONGEST_PAUSE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagaflow_mcp.paths import Home

SKILLS = Path(__file__).parent / "integration" / "skills"

PHASES = ("call", "task", "idle")

ANSWERED = "first, second, third"
"""What each of the runs returns."""

LIMIT_SECONDS = 90.0
"""How long anything may take before it counts as lost, or as left behind."""


class ThreeRuns:
    """A run in each phase.

    Args:
        local: whose engine and model they have; its skills must be those of `SKILLS`.
        launch: starts a run of the skill `phases` with these arguments, `where` and `gate`; its id.
    """

    def __init__(self, local: LocalSagaflow, launch: Callable[[str, str], str] | None = None) -> None:
        self._local = local
        # Of their own, so that three can follow upon three others.
        self._before = len(local.model.requests)
        self._hold = f"call {self._before}"
        self._gate = local.folder / f"gate-{self._before}"
        local.model.replace(
            Rule(match=r"call second", reply="second", hold=self._hold),
            Rule(match=r"(first|second|third)\Z", reply="${1}"),
        )
        start = launch or (lambda where, gate: local.launch("phases", where=where, gate=gate))
        self.run_ids = {phase: start(phase, str(self._gate)) for phase in PHASES}

    def wait_until_halted(self) -> None:
        """Return once each of them stands where it should."""
        eventually(lambda: len(self.asked("call")) == 2, "the call is made", LIMIT_SECONDS)
        eventually(Path(f"{self._gate}.held").exists, "the task is in hand", LIMIT_SECONDS)
        eventually(lambda: self._finished("idle") == 1, "the first step is over", LIMIT_SECONDS)

    def let_go(self) -> None:
        """End the halts; the idle run is told as soon as there is a server that can be told."""
        self._local.model.release(self._hold)
        self._gate.touch()
        eventually(lambda: anyio.run(self._is_told), "the idle run is told", LIMIT_SECONDS)

    def ends(self) -> None:
        """Return once each has ended as it should. AssertionError when one does not."""
        for phase, run_id in self.run_ids.items():
            run = self._local.wait(run_id, LIMIT_SECONDS)
            assert (run.state, run.result) == ("DONE", ANSWERED), (phase, run.state, run.summary)
            assert [entry.status for entry in self._local.inbox(run_id)] == ["DONE"], phase
            assert self._taken_again(phase) == [], phase

    def asked(self, phase: str) -> list[datetime]:
        """When the model was asked for the run in `phase`."""
        return [
            datetime.fromisoformat(each.received_at)
            for each in self._local.model.requests[self._before :]
            if str(each.body["messages"][-1]["content"]).startswith(phase)
        ]

    def _events(self, phase: str) -> list[dict[str, Any]]:
        return list(artifacts.events(Path(self._local.settings.home.run(self.run_ids[phase]))))

    def _finished(self, phase: str) -> int:
        return sum(event["event"] == "step_finished" for event in self._events(phase))

    def _taken_again(self, phase: str) -> list[str]:
        """The steps that began after they had finished."""
        finished: set[str] = set()
        again = []
        for event in self._events(phase):
            if event["event"] == "step_finished":
                finished.add(event["step"])
            elif event["event"] == "step_started" and event["step"] in finished:
                again.append(event["label"])
        return again

    async def _is_told(self) -> bool:
        home = self._local.settings.home
        ports = temporal_server.recorded(home)
        assert ports is not None
        try:
            client = await temporal.connect(home, ports.address)
            await client.get_workflow_handle(self.run_ids["idle"]).signal("go", rpc_timeout=temporal.RPC_LIMIT)
        except (Failure, RPCError):
            return False
        return True


def left_behind(local: LocalSagaflow) -> list[str]:
    """What is left of a Sagaflow whose engine was stopped: processes, locks, ports, markers, temporary files.

    A process may take a moment to end after it has let go of its lock.
    """
    deadline = time.monotonic() + LIMIT_SECONDS
    while (found := _left(local.settings.home)) and time.monotonic() < deadline:
        time.sleep(LONGEST_PAUSE_SECONDS)
    return found


def _left(home: Home) -> list[str]:
    found = [f"process {line}" for line in process_table.naming(home.root)]
    found += [
        f"lock of the {name}" for name in ("engine", "server", "worker") if processes.Place(home.engine, name).alive()
    ]
    found += [f"port {port}" for port in temporal_server.recorded(home) or () if not _is_free(port)]
    found += [f"marker {run_id}" for run_id in sorted(markers.run_ids(home))]
    found += [f"file {path}" for path in Path(home.root).rglob("*~")]
    found += [f"file {path}" for path in Path(home.inbox, "tmp").iterdir()]
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((temporal_server.HOST, port))
        except OSError:
            return False
        return True
