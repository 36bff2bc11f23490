"""`sagaflow worker run` beside a real engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from sagaflow_mcp.testing import LocalSagaflow

LIMIT = 60
"""Seconds that the command may take to show a line."""


def test_the_log_is_shown_also_after_it_was_rotated() -> None:
    """An engine empties it where it stands."""
    with LocalSagaflow() as local:
        # A shell that started these tests in the background has made them ignore ^C, and a child inherits that.
        previous = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "sagaflow_mcp", "worker", "run"],
                env=local.environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
            )
        finally:
            signal.signal(signal.SIGINT, previous)
        assert process.stdout is not None
        assert process.stderr is not None
        limit = threading.Timer(LIMIT, process.kill)
        limit.start()
        try:
            assert process.stderr.readline().startswith("the worker is up; ")
            log = Path(local.settings.home.engine) / "worker.log"
            assert log.stat().st_size > len("planted\n")
            os.truncate(log, 0)
            with log.open("a", encoding="utf-8") as file:
                file.write("planted \x1b[31mline\n")
            assert "planted line\n" in process.stdout
            process.send_signal(signal.SIGINT)
            assert process.wait(LIMIT) == 130
            assert "interrupted" in process.stderr.read()
            assert local.pid("worker")
        finally:
            limit.cancel()
            process.kill()
            process.communicate()
