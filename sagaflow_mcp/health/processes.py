"""Processes of the home that its engine does not know, and what of them can be ended safely."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sagaflow_mcp import engine_client, engine_start, processes
from sagaflow_mcp.health._check import Check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagaflow_mcp.faces import Face
    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.settings import Settings

SECONDS = 10.0
"""How long the system may take to list processes."""

YOUNG = 60
"""Seconds within which a process may not be known yet, or be about to end."""

OURS = re.compile(r"(^|\s)(-m sagaflow_mcp\.(engine|worker)|server start-dev)(\s|$)")
"""What the engine and its children have in their command lines.

Not `sagaflow_mcp.engine_service`, which waits, for hours if need be, until another engine leaves.
"""


class Process(NamedTuple):
    """One that is running."""

    pid: int
    seconds: int
    """Since it was started."""
    command: str


def orphans(settings: Settings, face: Face) -> Iterator[Check]:
    """The processes of the home that nobody looks after."""
    for each in left_over(settings.home):
        finding = f"process {each.pid} is of this home, but of no engine that runs: {each.command[:120]}"
        yield Check("processes", "warn", finding, face.end_process.format(pid=each.pid))


def left_over(home: Home) -> list[Process]:
    """Those processes, as far as the system lists processes at all."""
    known = _known(home)
    return [
        each
        for each in _listed()
        if each.pid not in known
        and each.seconds > YOUNG
        and OURS.search(each.command)
        and _names(each.command, home.root)
    ]


def end(found: Process) -> None:
    """End the process, which must be one of `left_over`."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(found.pid, signal.SIGKILL)


def _names(command: str, root: str) -> bool:
    """Whether the command line has the folder `root`, or something in it, as a word."""
    return re.search(rf"(^|\s){re.escape(root)}(/|\s|$)", command) is not None


def _known(home: Home) -> set[int]:
    """This process, and those that the engine, if one lives, accounts for."""
    status = engine_client.status(home) or {}
    told = {
        status.get("pid"),
        status.get("keeper"),
        *((status.get(name) or {}).get("pid") for name in ("server", "worker")),
    }
    places = [processes.Place(home.engine, name) for name in ("engine", "keeper", "server", "worker")]
    alive = {place.pid() for place in (*places, engine_start.joining(home)) if Path(place.lock).exists()}
    return {os.getpid(), *(pid for pid in told | alive if pid)}


def _listed() -> list[Process]:
    command = ["ps", "-axww", "-o", "pid=,etime=,args="]
    try:
        listing = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    lines = (line.split(None, 2) for line in listing.stdout.splitlines())
    return [Process(int(words[0]), _seconds(words[1]), words[2]) for words in lines if len(words) == 3]  # noqa: PLR2004


def _seconds(text: str) -> int:
    """What `ps` says as `[[days-]hours:]minutes:seconds`."""
    days, _, rest = text.rpartition("-")
    total = 0
    for part in rest.split(":"):
        total = total * 60 + int(part)
    return total + 86_400 * int(days or 0)
