"""The start of an engine for open runs and schedules when none is up, as after a reboot."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from sagaflow_mcp import markers, paths, schedule_files
from sagaflow_mcp.errors import SagaflowError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagaflow_mcp.paths import Home


def wake_open_runs(home: Home, environ: Mapping[str, str]) -> str | None:
    """None once an engine is up or on its way, or `home` needs none; else why none can be started.

    Never raises: nobody has asked for an engine here.
    """
    waiting = "open runs"
    try:
        if not markers.run_ids(home):
            waiting = "schedules"
            if not schedule_files.is_active(home):
                return None
        # Imported here: a command that only reads the inbox need not pay for it.
        from sagaflow_mcp import engine_client, processes  # noqa: PLC0415

        if processes.Place(home.engine, "engine").alive():
            return None
        from sagaflow_mcp.settings import Settings  # noqa: PLC0415 - as above

        engine_client.wake(home, Settings.of_user(environ).for_engine())
    except FileNotFoundError:
        return None  # There is no home yet.
    except (OSError, SagaflowError) as error:
        return f"{waiting} cannot go on: {error}"
    return None


def main() -> int:
    """Wake the open runs of the home that the environment names; 1 when they cannot go on, with the reason."""
    trouble = wake_open_runs(paths.Home.from_environment(os.environ), os.environ)
    if trouble:
        sys.stderr.write(f"{trouble}\n")
    return int(trouble is not None)


if __name__ == "__main__":
    sys.exit(main())
