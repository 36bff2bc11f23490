"""The builder: a process that makes the environment of the plugin and then ends, whoever started it is there or not.

It holds the environment's lock, and so does every tool that it runs: after a kill -9 of the builder alone, what it left
running is waited for before the next one begins from nothing.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from sagaflow_mcp import environments, installing, paths, processes, pythons

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagaflow_mcp.environments import Environment
    from sagaflow_mcp.installing import Way

LIMIT_SECONDS = 600.0
"""How long a whole build may take. With pip it takes 20 to 60 seconds where the network is quick."""

LOCK_SECONDS = 1.0
"""How long the lock is tried for: those who look whether it is taken hold it for some microseconds."""

WAKE_SECONDS = 30.0
"""How long it may take to start an engine where runs are open; nobody waits for it."""

TAIL_BYTES = 60_000
"""How much of a command's output is looked at for the reason of its failure."""


class BuildError(Exception):
    """One way to build has failed."""

    def __init__(self, sentence: str, *, is_made: bool = True) -> None:
        super().__init__(sentence)
        self.is_made = is_made
        """Whether it had come as far as an empty environment."""


class Build:
    """One attempt to make `environment` from the plugin in the folder `root`, with its lock held.

    Args:
        environment: what is to be made.
        root: the plugin's folder, which is only read.
        environ: the environment for the tools.
        lock: the descriptor of the lock.
    """

    def __init__(self, environment: Environment, root: str, environ: Mapping[str, str], lock: int) -> None:
        self._environment = environment
        self._root = root
        self._environ = installing.environ_for(environ)
        self._lock = lock
        self._source = environment.path + ".source"
        self._began = time.time()
        self._deadline = time.monotonic() + LIMIT_SECONDS

    def run(self) -> bool:
        """Whether the environment is whole now; the state says why it is not."""
        self._tell("building", step="preparing")
        try:
            self._make()
        except (BuildError, OSError) as error:
            shutil.rmtree(self._environment.path, ignore_errors=True)
            self._tell("failed", error=self._sentence(error))
            return False
        finally:
            shutil.rmtree(self._source, ignore_errors=True)
        self._tell("done")
        return True

    def _make(self) -> None:
        """Try one way after the other. BuildError or OSError when none has worked."""
        with open(self._environment.log, "wb"):
            pass  # What an earlier build said is of no use any more.
        if paths.free_bytes(self._environment.folder) < installing.NEEDED_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._copy()
        failure = BuildError("")
        for way in installing.ways(self._environment, self._environ):
            found = self._tried(way)
            if found is None:
                return
            failure = found
            if failure.is_made and way.is_last:
                break
        raise failure if str(failure) else BuildError(installing.none_left(pythons.found(self._environ)))

    def _tried(self, way: Way) -> BuildError | None:
        """Why this way has not worked; None when it has."""
        try:
            self._follow(way)
        except BuildError as error:
            return error
        return None

    def _copy(self) -> None:
        """Copy what the plugin is built from: nothing is to be written into its own folder."""
        shutil.rmtree(self._source, ignore_errors=True)
        for path in environments.source_files(self._root):
            target = os.path.join(self._source, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(os.path.join(self._root, path), target)

    def _follow(self, way: Way) -> None:
        """Build in this way. It is the last file that makes the environment whole."""
        shutil.rmtree(self._environment.path, ignore_errors=True)
        for number, (step, command) in enumerate(way.steps(self._environment, self._source)):
            self._tell("building", step=step)
            self._run(step, command, is_made=number > 0)
        paths.write_atomically(self._environment.marker, f"{way.name}\n")

    def _run(self, step: str, command: list[str], *, is_made: bool) -> None:
        """Run one command to its end. BuildError when it fails or takes too long."""
        with open(self._environment.log, "ab") as log:
            log.write(f"--- {step}: {' '.join(command)}\n".encode())
            log.flush()
            start = log.tell()
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ,
                pass_fds=(self._lock,),
                start_new_session=True,
            )
        try:
            status = process.wait(max(self._deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise BuildError(
                f"{step} had not ended after {LIMIT_SECONDS / 60:.0f} minutes; the network may be too slow"
            ) from None
        if status:
            raise BuildError(installing.reason(self._said(start), step, status), is_made=is_made)

    def _said(self, start: int) -> str:
        """The end of what the log holds from the byte `start` on."""
        with open(self._environment.log, "rb") as log:
            log.seek(max(start, log.seek(0, os.SEEK_END) - TAIL_BYTES))
            return log.read().decode("utf-8", "replace")

    def _sentence(self, error: BuildError | OSError) -> str:
        return str(error) if isinstance(error, BuildError) else installing.reason(str(error), "preparing")

    def _tell(self, state: str, step: str = "", error: str = "") -> None:
        """Write down how far it has come; those who wait look there."""
        told = {"state": state, "step": step, "error": error, "since": self._began}
        with contextlib.suppress(OSError):  # A full disk is told of by what fails next.
            paths.write_atomically(self._environment.state_file, json.dumps(told) + "\n")


def build(environment: Environment, root: str, environ: Mapping[str, str]) -> bool:
    """Whether the environment is whole, or somebody else is at it.

    Raises:
        OSError: its lock cannot be opened.
    """
    os.makedirs(environment.folder, mode=0o700, exist_ok=True)
    lock = processes.acquire(environment.lock, LOCK_SECONDS)
    if lock is None:
        return True
    try:
        return environment.is_whole() or Build(environment, root, environ, lock).run()
    finally:
        os.close(lock)


def wake(environment: Environment, folder: str) -> None:
    """Bring open runs back, as after a new installation: the session in `folder` may be over already. Never raises."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        # In that folder, to tell what the project's settings have set, which is none of the engine's business.
        subprocess.run(environment.waker, stdin=subprocess.DEVNULL, cwd=folder, timeout=WAKE_SECONDS, check=False)


def tidy(environment: Environment) -> None:
    """Remove the other environments that nobody uses or builds. Never raises: the next one tries again."""
    for other in environment.others():
        with contextlib.suppress(OSError):
            lock = processes.acquire(other.lock, 0)
            if lock is None:
                continue
            with contextlib.suppress(FileNotFoundError):
                os.unlink(other.marker)  # First, so that what is left by a kill is not taken for whole.
            shutil.rmtree(other.path)
            for path in (other.state_file, other.log):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            os.close(lock)


def main() -> int:
    """Build for the plugin in the folder that is the first argument, under the stamp that is the second.

    The third one is the folder of the session that needs it.
    """
    root, stamp, folder = sys.argv[1:]
    environment = environments.Environment(environments.folder(os.environ), stamp)
    if not environment.is_whole():
        if not build(environment, root, dict(os.environ)):
            return 1
        wake(environment, folder)
    if environment.is_whole():
        tidy(environment)
    return 0
