"""A whole Sagaflow for tests: a throw-away home, a real engine with server and worker, an offline model."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import anyio

from sagaflow_mcp import engine_client, following, inbox, launch, runs, temporal_server
from sagaflow_mcp.errors import Failure, Refusal
from sagaflow_mcp.settings import Settings, without_ours
from sagaflow_mcp.testing import _skipping
from sagaflow_mcp.testing.messages_api import OfflineMessagesApi

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from sagaflow_mcp.records import Entry
    from sagaflow_mcp.runs import Run

SUCCESSOR_SECONDS = 30.0
"""How long the engine may take to notice that a worker was killed."""

LOOK_SECONDS = 0.02
"""Between two looks at whether a killed worker has a successor."""


class LocalSagaflow:
    """Started with the first launch; leaving the context ends every process and removes the home.

    Args:
        skills: folders that hold skills, beside the bundled ones.
    """

    def __init__(self, skills: Sequence[Path] = ()) -> None:
        # Not below pytest's tmp_path: a Unix socket's path may have about 100 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="sagaflow-test-"))
        self.model = OfflineMessagesApi()
        """The model: `model.add(Rule(...))` says what it answers, `model.requests` what it was asked."""
        self._skills = skills

    def __enter__(self) -> Self:
        self.model.__enter__()
        self.settings = Settings.load(self.environment())
        temporal_server.allow_time_skipping(self.settings.home)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            engine_client.stop(self.settings.home)
        finally:
            self.model.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """The environment in which a `sagaflow` command or an MCP server belongs to this instance."""
        ours = {
            "HOME": str(self.folder),
            "SAGAFLOW_HOME": str(self.folder / "home"),
            "SAGAFLOW_NOTIFY": "0",
            "SAGAFLOW_SKILLS_PATH": os.pathsep.join(str(each) for each in self._skills),
        }
        return {**without_ours(os.environ), **ours, **self.model.environment()}

    def launch(
        self,
        skill: str,
        *,
        run_id: str | None = None,
        timeout: timedelta | None = None,
        skip_time: bool = False,
        **arguments: Any,
    ) -> str:
        """The id of a run that was accepted.

        Args:
            skill: the skill's name.
            run_id: an id of the caller's choice.
            timeout: the longest time that the run may take in all.
            skip_time: whether time passes at once wherever the run only waits: in a sleep, for an answer that has a
                timeout, for the next attempt at a step. Steps and model calls take the time that they take.
            arguments: those of the skill.

        Raises:
            Refusal: it was not accepted.
        """
        request = launch.Request(skill, arguments, run_id=run_id, execution_timeout=timeout, skip_time=skip_time)
        return anyio.run(launch.launch, self.settings, request).run_id

    def skip_time(self, run_id: str) -> None:
        """Skip time for a run from now on, as `launch` does from its beginning; Refusal when there is no such run."""
        runs.get(self.settings.home, run_id)
        anyio.run(_skipping.begin, self.settings, run_id)

    def wait(self, run_id: str, seconds: float = 60) -> Run:
        """The run as it ended. TimeoutError when it has not within `seconds`."""

        async def ended() -> Run:
            """The run at the last look."""
            async for run in following.follow(self.settings, run_id, seconds):
                last = run
            return last

        run = anyio.run(ended)
        if run.is_open:
            raise TimeoutError(f"{run_id} did not end within {seconds:g} s")
        return run

    def kill_worker(self) -> None:
        """Kill the worker with SIGKILL, as a crash would, and return once its successor takes work.

        Raises:
            Failure: there is none in time, with the reason.
            Refusal: there is no worker, as before the first launch.
        """
        killed = self.pid("worker")
        os.kill(killed, signal.SIGKILL)
        deadline = time.monotonic() + SUCCESSOR_SECONDS
        while ((engine_client.status(self.settings.home) or {}).get("worker") or {}).get("pid") == killed:
            if time.monotonic() > deadline:
                raise Failure(f"the engine has not noticed within {SUCCESSOR_SECONDS:g} s that worker {killed} is gone")
            time.sleep(LOOK_SECONDS)
        engine_client.ready(self.settings.home, environ=self.settings.for_engine())

    def inbox(self, run_id: str | None = None) -> list[Entry]:
        """The inbox entries, newest first, dismissed ones too; those of one run where one is named."""
        found = inbox.entries(self.settings.home) if run_id is None else inbox.for_run(self.settings.home, run_id)
        return [entry for entry, _ in found]

    def pid(self, part: str) -> int:
        """The process id of the `engine`, the `server` or the `worker`; Refusal where it does not run."""
        status = engine_client.status(self.settings.home) or {}
        found = status if part == "engine" else status.get(part) or {}
        if "pid" not in found:
            raise Refusal(f"there is no {part} yet; it starts with the first launch")
        return int(found["pid"])
