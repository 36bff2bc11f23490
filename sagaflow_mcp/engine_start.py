"""The start of the engine: detached, with a keeper that starts it again when it dies."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from sagaflow_mcp import paths, processes
from sagaflow_mcp.errors import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagaflow_mcp.paths import Home

ENGINE = (sys.executable, "-m", "sagaflow_mcp.engine")
"""The program of the engine, to which the home is added."""

NEEDED_BYTES = 8_000_000
"""Less room than this is not enough for the server's database to begin with."""

KEEPER = """\
PATH=$PATH:/usr/bin:/bin
crashes=0
while :; do
  began=$(date +%s)
  SAGAFLOW_KEEPER=$$ "$@" >&2 && exit 0
  [ $(($(date +%s) - began)) -lt 10 ] || crashes=0
  crashes=$((crashes + 1))
  [ "$crashes" -lt 5 ] || { echo given up; exit 1; }
  [ "$crashes" -lt 2 ] || sleep 1
done
"""
"""Runs the engine again when it was killed or crashed; gives up after five short lives in a row, and says so."""

DETACH = '"$@" &'
"""Run by a shell that ends at once: the keeper then belongs to init, so whoever started it need not wait for it."""


def start(home: Home, *, program: Sequence[str] = ENGINE, environ: Mapping[str, str] | None = None) -> int:
    """The descriptor on which the keeper of the engine that is started here says that it gave up. Close it.

    Args:
        home: whose engine it is.
        program: the engine's command, to which the home is added.
        environ: the environment it gets, this process's own by default. Model credentials in it are those that a
            whole new engine begins with, when all that held later ones were killed.

    Raises:
        Failure: the disk is full, no process can be made, or the home only joins the work of another.
    """
    refuse_unfit(home)
    given = dict(os.environ if environ is None else environ)
    given.pop(processes.LOCK_VARIABLE, None)
    reader, writer = os.pipe()
    try:
        with open(processes.Place(home.engine, "engine").log, "ab", opener=_private) as log:
            subprocess.run(
                ["/bin/sh", "-c", DETACH, "sh", "/bin/sh", "-c", KEEPER, "sagaflow-engine", *program, home.root],
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=log,
                cwd="/",
                env=given,
                start_new_session=True,
                check=True,
            )
    except (OSError, subprocess.CalledProcessError) as error:
        os.close(reader)
        raise Failure(f"the engine of {home.root!r} could not be started: {error}") from error
    finally:
        os.close(writer)
    return reader


def refuse_unfit(home: Home) -> None:
    """Return when `home` can have an engine; Failure when its disk is full or it only joins another's work."""
    joined = joining(home).pid_file
    if os.path.exists(joined):
        raise Failure(
            f"the home {home.root!r} only joins the work of another machine's: launch there, or remove {joined!r} to "
            "give this one an engine of its own"
        )
    if paths.free_bytes(home.engine) < NEEDED_BYTES:
        raise Failure(
            f"the disk that holds the Sagaflow home {home.root!r} is full: "
            f"the engine needs {NEEDED_BYTES // 1_000_000} MB; make room, or set SAGAFLOW_HOME to a folder elsewhere"
        )


def joining(home: Home) -> processes.Place:
    """The files of the worker that joins with `home`; with its pid file the home can have no engine."""
    return processes.Place(home.engine, "joined")


def is_over(keeper: int, place: processes.Place) -> bool:
    """Whether the keeper that speaks on the descriptor `keeper` is gone; Failure if it gave up."""
    os.set_blocking(keeper, False)
    try:
        said = os.read(keeper, 64)
    except BlockingIOError:
        return False
    if said:
        raise Failure(f"the engine could not be started: {last_words(place)}; see `sagaflow engine logs`")
    return True


def last_words(place: processes.Place) -> str:
    """What the engine said last in its log, for a sentence that ends with it."""
    return processes.last_line(place.log) or "it said nothing"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
