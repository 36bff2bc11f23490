"""What stands behind the launcher: the real server, where it comes from, and what a session's start has to wake.

Apart from the launcher, which answers the client before it loads any of this: a session waits for that answer.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from sagaflow_mcp import (
    claude_process,
    guard,
    messenger,
    plugin_options,
    processes,
    real_server,
    records,
    schedule_files,
    supply,
)
from sagaflow_mcp.paths import Home

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagaflow_mcp.relay import Relay

LOOK_SECONDS = 0.2
"""The pause between two looks at a build."""

PROGRESS_SECONDS = (1.0, 2.0)
"""When a call that waits for a build is first told how it goes, and how often from then on."""

WORKING = (
    "the Sagaflow server ended while it worked on this ({how}). What was launched goes on: look with list_runs before "
    "you launch it again. The next call starts the server anew"
)
STARTING = "the Sagaflow server did not start ({how}). The next call tries again"


class Backing:
    """One client's server, started when it is first needed and again when it has died.

    Args:
        root: the folder of the plugin.
        environ: the launcher's environment.
        relay: says what the server is needed for, and is told what becomes of it.
    """

    def __init__(self, root: str, environ: Mapping[str, str], relay: Relay) -> None:
        process = claude_process.of(os.getppid())
        known = guard.remembered(plugin_options.applied(environ))
        self._environ = {**known, claude_process.VARIABLE: process.key if process else ""}
        self._relay = relay
        self._supply = supply.Supply(root, self._environ)
        self._messenger: messenger.Messenger | None = None
        self._is_wanted = False
        self._tell_after = 0.0
        self.server: real_server.RealServer | None = None

    def begin(self) -> None:
        """Do what a session's start is for, beside answering: nobody waits for it."""
        if not guard.foreign(self._environ):
            self._supply.prepare()
            # As after a reboot. A server that starts brings the engine back as well.
            self._is_wanted = _lacks_engine(self._environ) and not self._supply.wake()

    def patience(self) -> float | None:
        """How long to wait for something to happen before `provide` is called again, in seconds; None is for ever."""
        if self.server is None and self._is_needed():
            return LOOK_SECONDS
        return messenger.LOOK_SECONDS if self._messenger is not None else None

    def attend(self, ready: set[int]) -> None:
        """Take what the server has said, after a wait that found these descriptors ready."""
        if self.server is None:
            return
        for line in self.server.attend(ready):
            self._relay.from_server(line)
        if self.server.is_over():
            for line in self.server.remaining():
                self._relay.from_server(line)
            how = self.server.end()
            self.server = None
            self._relay.server_ended((WORKING if self._relay.is_served else STARTING).format(how=how))

    def provide(self) -> None:
        """Start the server if it is needed and there is one to start; send the session what there is to tell it."""
        if self.server is not None or not self._is_needed():
            self._supply.rest()
        else:
            self._look()
        if self._messenger is not None:
            self._messenger.look()

    def end(self) -> None:
        """End the server, if there is one."""
        if self.server is not None:
            self.server.end()

    def _is_needed(self) -> bool:
        return self._relay.is_waiting or self._is_wanted

    def _look(self) -> None:
        foreign = guard.foreign(self._environ, guard.OF_CODE)
        if foreign:
            self._refuse(records.one_line(guard.sentence(foreign[0], guard.FOR_AGENT), records.SENTENCE_LIMIT))
            return
        outcome = self._supply.look()
        if outcome.command:
            self._start(outcome)
        elif outcome.sentence:
            self._refuse(outcome.sentence)
        else:
            self._report(outcome)

    def _start(self, chosen: supply.Outcome) -> None:
        try:
            self.server = real_server.RealServer(chosen.command, self._environ, chosen.holds)
        except OSError as error:
            self._refuse(STARTING.format(how=error))
        else:
            self._relay.server_started()
            # Not before: without a server nothing was launched from here.
            self._messenger = self._messenger or messenger.of(self._environ)
        self._is_wanted = False
        self._tell_after = 0.0

    def _refuse(self, sentence: str) -> None:
        self._relay.refuse(sentence)
        self._is_wanted = False
        self._tell_after = 0.0

    def _report(self, outcome: supply.Outcome) -> None:
        """Tell how the build goes to those who wait and want to know, after a second and then every two."""
        now = time.monotonic()
        if not self._tell_after:
            self._tell_after = now + PROGRESS_SECONDS[0]
        elif now >= self._tell_after:
            self._tell_after = now + PROGRESS_SECONDS[1]
            self._relay.report_progress(outcome.seconds, f"first use: {outcome.step} ({outcome.seconds:.0f} s)")


def _lacks_engine(environ: Mapping[str, str]) -> bool:
    """Whether there is work for an engine, and none lives. Where one does, a server would find nothing to do."""
    home = Home.from_environment(environ)
    try:
        return schedule_files.needs_engine(home) and not processes.Place(home.engine, "engine").alive()
    except OSError:
        return False
