"""The cures that cost nothing and lose nothing: what `sagaflow doctor --fix` does."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import engine_client, inbox, paths, processes, waking
from sagaflow_mcp import markers as open_markers
from sagaflow_mcp.health import processes as process_checks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sagaflow_mcp.paths import Home


def home(root: str) -> Iterator[str]:
    """Make the home its owner's alone; before it can be used at all."""
    folder = Path(root)
    try:
        found = folder.stat()
    except OSError:
        return
    if found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & 0o022:
        folder.chmod(0o700)
        yield f"{root} is yours alone now (mode 0700)"


def rest(of: Home, environ: Mapping[str, str]) -> Iterator[str]:
    """Everything else, a sentence for each thing that was done.

    Raises:
        OSError: something of the home cannot be changed.
        Failure: the engine that hangs does not end.
    """
    engine = processes.Place(of.engine, "engine")
    if engine.alive() and engine_client.status(of, engine_client.PATIENT_SECONDS) is None:
        engine_client.stop(of, "it did not answer")
        yield "the engine, which did not answer, was ended"
    for each in process_checks.left_over(of):
        process_checks.end(each)
        yield f"process {each.pid}, which nobody looked after, was ended"
    for path in inbox.move_damaged(of):
        yield f"{path} has what was in the inbox and was no entry"
    paths.clear_drafts(of)
    if open_markers.run_ids(of) and not engine.alive():
        trouble = waking.wake_open_runs(of, environ)
        if trouble is None:
            _wait_for_engine(of)
        yield trouble or "the engine was started: open runs go on"


def _wait_for_engine(of: Home) -> None:
    """Return once it answers, or takes too long to: what is found next is not to be that there is none."""
    deadline = time.monotonic() + engine_client.PATIENT_SECONDS
    while engine_client.status(of) is None and time.monotonic() < deadline:
        time.sleep(engine_client.LOOK_SECONDS)
