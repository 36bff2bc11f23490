"""`sagaflow demo`: a run that survives `kill -9`, in a throw-away home, against an offline stand-in for a model."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from sagaflow_mcp import artifacts, cli_output, engine_client, faces, following, inbox, launch, wording
from sagaflow_mcp.errors import Failure
from sagaflow_mcp.settings import Settings, without_ours
from sagaflow_mcp.testing import OfflineMessagesApi, Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagaflow_mcp.runs import Run

STEP_SECONDS = 1.5
"""How long the stand-in takes for each answer: long enough to be killed in the middle of one."""

LIMIT_SECONDS = 50.0
"""How long the run may take before the demonstration counts as failed."""

SKILLS = Path(__file__).parent / "demo_skill"

ANSWERS = {
    "Write the outline": "A keeper. A storm. A light that does not go out.",
    "Write a draft": "The storm took the keeper's sleep, but the light was on again before a ship missed it.",
    "Polish the following": "The storm put the light out twice, and no ship ever knew.",
}
"""What the stand-in says, by the beginning of what it is asked."""


def main() -> int:
    """Run the demonstration; 0 when the run survived, and nothing is left running or lying about."""
    with _interruptions() as interrupted:
        _demonstrate(interrupted)
    print("\nEverything was stopped and the throw-away home removed. Next:")
    print("  export ANTHROPIC_API_KEY=…                       # a real model")
    print("  sagaflow launch hello-world --name you --await   # a first run of your own")
    print("  sagaflow skills list                             # what else there is")
    return 0


def _demonstrate(interrupted: Callable[[], None]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="sagaflow-demo-"))
    try:
        rules = [Rule(match=asked, reply=_block(text), delay_seconds=STEP_SECONDS) for asked, text in ANSWERS.items()]
        with OfflineMessagesApi(rules) as api:
            settings = Settings.load(_environment(folder, api))
            try:
                anyio.run(_show, settings, api, interrupted)
            finally:
                engine_client.stop(settings.home)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _interruptions() -> Iterator[Callable[[], None]]:
    """Raises KeyboardInterrupt, when called, if there was a ^C or SIGTERM.

    Not by the signal itself: it would leave a thread behind that goes on starting an engine, and a second one would
    stop the cleaning up.
    """
    came = threading.Event()

    def look() -> None:
        if came.is_set():
            raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, lambda *_: came.set()) for number in numbers]
    try:
        yield look
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)


def _environment(folder: Path, api: OfflineMessagesApi) -> dict[str, str]:
    """The environment of the demonstration: its own home, its own skill, the stand-in and no other model."""
    home = {"SAGAFLOW_HOME": str(folder / "home"), "SAGAFLOW_SKILLS_PATH": str(SKILLS), "SAGAFLOW_NOTIFY": "0"}
    return {**without_ours(os.environ), **home, **api.environment()}


def _block(text: str) -> str:
    return f"STRUCTURED_OUTPUT_START\nTEXT|{text}\nSTRUCTURED_OUTPUT_END"


async def _show(settings: Settings, api: OfflineMessagesApi, interrupted: Callable[[], None]) -> None:
    say = _clock()
    say("The model in this demonstration is an offline stand-in that ships with Sagaflow; no key is used.")
    say("Starting an engine: an embedded Temporal server and a worker")
    request = launch.Request(skill="story", project_dir=faces.CLI.folder(os.environ))
    launched = await launch.launch(settings, request)
    say(f"Launched {launched.run_id}: three model calls, one after another")
    killed, shown = 0, 0
    async for run in following.follow(settings, launched.run_id, LIMIT_SECONDS):
        interrupted()
        shown = _tell_steps(run, shown, say)
        if not killed and run.progress.steps_finished == 1 and run.progress.current:
            killed = _kill_worker(settings)
            say(f"kill -9 {killed}: the worker is gone, in the middle of step '{run.progress.current[0]}'")
    _check(run, killed)
    say(f"The run ended: {run.state}")
    calls = len(api.requests)
    say(f"Model calls: {calls}, for 3 steps and 1 kill. The finished step was not called, or paid for, again.")
    say("The inbox, as your next Claude Code session would see it:")
    screen = cli_output.screen()
    for entry in inbox.unread(settings.home):
        screen.show(f"        {wording.entry(entry, screen.paint)}")


def _clock() -> Callable[[str], None]:
    began = time.monotonic()
    screen = cli_output.screen()

    def say(text: str) -> None:
        screen.show(f"{time.monotonic() - began:5.1f}s  {text}")
        sys.stdout.flush()

    return say


def _tell_steps(run: Run, shown: int, say: Callable[[str], None]) -> int:
    """Tell what the transcript has beyond its first `shown` lines; how many it has."""
    events = list(artifacts.events(Path(run.run_dir)))
    for event in events[shown:]:
        told = wording.event(event).partition("  ")[2]
        say(f"  step {told}" if "step" in event else f"  {told}")
    return len(events)


def _kill_worker(settings: Settings) -> int:
    status = engine_client.status(settings.home) or {}
    pid = (status.get("worker") or {}).get("pid")
    if not pid:
        raise Failure("the demonstration found no worker to kill; see `sagaflow doctor`")
    os.kill(pid, signal.SIGKILL)
    return int(pid)


def _check(run: Run, killed: int) -> None:
    if run.state != "DONE" or not killed:
        raise Failure(
            f"the demonstration did not work: the run is {run.state} ({wording.detail(run)}); please report it"
        )
