"""What systemd or launchd runs: the engine of one home, once no other serves it, that stays up without a run.

`python -m sagaflow_mcp.engine_service HOME`
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from sagaflow_mcp import engine_start, processes
from sagaflow_mcp.errors import SagaflowError
from sagaflow_mcp.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

WAIT_SECONDS = 3600.0
"""How long one wait for an engine that serves the home already takes; then it is waited for again."""


def main(arguments: Sequence[str]) -> int:  # noqa: RET503 - execve never comes back
    """Become the engine of the home that is the one argument; 1 when that cannot be, with the reason in its log."""
    os.umask(0o077)
    environ = {**os.environ, "SAGAFLOW_HOME": arguments[0]}
    try:
        home = Settings.load(environ).home
        place = processes.Place(home.engine, "engine")
        _log_to(place.log)
        # It holds model access that open runs were launched with, in memory only: it is not ended, but waited for.
        while not place.gone(WAIT_SECONDS):
            pass
        settings = Settings.load(environ)
        engine_start.refuse_unfit(home)
    except (SagaflowError, OSError) as error:
        sys.stderr.write(f"the service cannot start the engine: {error}\n")
        return 1
    # In place of this process, so that it is the engine that the system watches.
    given = {**settings.for_engine(), "SAGAFLOW_IDLE_SECONDS": "inf"}
    os.execve(sys.executable, [*engine_start.ENGINE, home.root], given)  # noqa: S606 - no shell has a part in it


def _log_to(path: str) -> None:
    """Have standard error go to the engine's log from now on."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 2)
    os.close(log)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
