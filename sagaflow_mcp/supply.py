"""Where the real server comes from: an environment of the plugin's own, which is built when it is first needed.

A build is a process of its own that outlives this one. Whoever comes while it goes on waits for it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from sagaflow_mcp import engine_start, environments, records

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVER_VARIABLE = "SAGAFLOW_SERVER"
"""A command to run as the server instead, for those who work on Sagaflow."""

MODULE = ("-I", "-m", "sagaflow_mcp.server")
"""Isolated: the working folder is the user's project, and nothing is imported from there."""

BUILDER = "import sys; sys.path.append(sys.argv[1]); from sagaflow_mcp import builder; sys.exit(builder.main())"
"""Runs the builder from the plugin's folder, its first argument; then come the stamp and the session's folder."""

ATTEMPTS = 2
"""How many builds one wait begins, should they vanish without a word; one that says why it failed is not repeated."""


class Outcome(NamedTuple):
    """What has come of waiting: a command, or a sentence on why there is none, or else how far it has come."""

    command: tuple[str, ...] = ()
    holds: tuple[int, ...] = ()
    """Descriptors that the server has to inherit."""
    sentence: str = ""
    step: str = ""
    seconds: float = 0.0
    """How long the step's build has been going on."""


class Supply:
    """Finds a server for the plugin in the folder `root`, or has one built."""

    def __init__(self, root: str, environ: Mapping[str, str]) -> None:
        self._root = root
        self._environ = environ
        self._fixed = _given(root, environ)
        self._environment: environments.Environment | None = None
        self._hold: int | None = None
        self._builder: subprocess.Popen[bytes] | None = None
        self._begun = 0

    def prepare(self) -> None:
        """Begin to build what will be needed, and to remove what no longer is. Never raises: nobody waits yet."""
        if self._fixed:
            return
        try:
            found = self._find()
            if self._hold is None or found.others():
                self._build(found)
        except OSError:
            pass  # The first call is told.

    def wake(self) -> bool:
        """Whether open runs are brought back without a server: at once, or by the builder once it is done.

        A server takes a second to start, and a session may be over before that. Never raises.
        """
        if self._fixed:
            return False
        try:
            found = self._find()
            if self._hold is not None:
                with open(found.log, "ab", opener=_private) as log:
                    subprocess.run(
                        ["/bin/sh", "-c", engine_start.DETACH, "sh", *found.waker],
                        # In the project's folder, like a server: what its settings have set is none of the engine's.
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        env=dict(self._environ),
                        start_new_session=True,
                        check=False,
                    )
        except OSError:
            pass  # A server does the same when it starts.
        return True

    def look(self) -> Outcome:
        """What there is now. Call it again, after a while, as long as it is neither a command nor a sentence."""
        if self._fixed:
            return Outcome(self._fixed)
        try:
            return self._look(self._find())
        except OSError as error:
            self._begun = 0
            return Outcome(sentence=f"Sagaflow could not be installed for its first use: {error}")

    def rest(self) -> None:
        """Nobody waits now: how a build ends meanwhile is of no interest to those who come later."""
        if self._has_ended():
            self._begun = 0

    def _has_ended(self) -> bool:
        """Whether the builder that was begun here has ended since the last look."""
        if self._builder is None or self._builder.poll() is None:
            return False
        self._builder = None
        return True

    def _find(self) -> environments.Environment:
        if self._environment is None or (self._hold is None and not self._begun):
            # Looked at anew with each new wait: a folder that is read in place may have changed.
            self._environment = environments.of_plugin(self._root, self._environ)
        if self._hold is not None and not self._environment.is_whole():
            os.close(self._hold)
            self._hold = None
        if self._hold is None:
            self._hold = self._environment.hold()
        return self._environment

    def _look(self, found: environments.Environment) -> Outcome:
        self._has_ended()
        state = found.state()
        if self._hold is not None:
            self._begun = 0
            return Outcome((found.python, *MODULE), (self._hold,))
        if self._builder is not None or found.is_locked():
            began = state.get("since")
            seconds = time.time() - began if isinstance(began, (int, float)) else 0.0
            return Outcome(step=records.one_line(str(state.get("step") or "preparing"), 100), seconds=max(seconds, 0.0))
        told = str(state.get("error") or "") if state.get("state") == "failed" else ""
        if self._begun == 0 or (not told and self._begun < ATTEMPTS):
            self._build(found)
            return Outcome(step="preparing")
        self._begun = 0
        reason = records.one_line(told, 600) or "the installation was ended from outside"
        return Outcome(
            sentence=f"Sagaflow could not be installed for its first use: {reason}. The next call tries again; "
            f"what was said meanwhile is in {found.log}"
        )

    def _build(self, found: environments.Environment) -> None:
        os.makedirs(found.folder, mode=0o700, exist_ok=True)
        with open(found.log, "ab", opener=_private) as log:
            self._builder = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", "-c", BUILDER, self._root, found.stamp, _working_folder()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=dict(self._environ),
                start_new_session=True,
            )
        self._begun += 1


def _given(root: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The command that needs no building: the one that is named, or this Python where it has Sagaflow installed."""
    named = environ.get(SERVER_VARIABLE)
    if named:
        return ("/bin/sh", "-c", f"exec {named}")
    if not os.path.exists(os.path.join(root, "requirements.lock")):
        return (sys.executable, *MODULE)
    return ()


def _working_folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # It was removed.
        return "/"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
