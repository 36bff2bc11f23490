"""The demonstration, with nothing set up: it shows a run that survives, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import process_table, waiting
from tests.acceptance import tools

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 100
"""Seconds that a demonstration may take."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for the demonstration's files; not pytest's: a Unix socket's path may have about 100 characters."""
    found = Path(tempfile.mkdtemp(prefix="sagaflow-test-"))
    yield found
    shutil.rmtree(found, ignore_errors=True)


def begin(folder: Path) -> subprocess.Popen[str]:
    """The demonstration in an empty environment: no key, no Python on the `PATH`, a home that is not there yet."""
    temporary = folder / "tmp"
    temporary.mkdir()
    environment = {"PATH": str(folder / "no-commands"), "HOME": str(folder / "home"), "TMPDIR": str(temporary)}
    # A shell that started these tests in the background has made them ignore ^C, and a child inherits that.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [str(tools.COMMANDS / "sagaflow"), "demo"],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, previous)


def processes_of(folder: Path) -> list[str]:
    """The processes that have `folder` in their command line or, where that can be seen, in their environment."""
    if not Path("/proc/self/environ").exists():
        return process_table.naming(str(folder))
    return [each.name for each in Path("/proc").glob("[0-9]*") if str(folder).encode() in words(each)]


def words(process: Path) -> bytes:
    """A process's command line and environment; nothing when it is gone or somebody else's."""
    try:
        return process.joinpath("cmdline").read_bytes() + process.joinpath("environ").read_bytes()
    except OSError:
        return b""


def test_the_demonstration_shows_a_run_that_survives(folder: Path) -> None:
    """One kill, at most one more model call than steps, one inbox entry, and what to try next."""
    demo = begin(folder)
    shown, _ = demo.communicate(timeout=LIMIT)
    assert demo.returncode == 0, shown
    assert "no key is used" in shown
    assert len(re.findall(r"kill -9 \d+: the worker is gone", shown)) == 1
    assert "The run ended: DONE" in shown
    assert re.search(r"Model calls: [34], for 3 steps and 1 kill", shown)
    assert len(re.findall(r"DONE +story-\S+  The storm put the light out twice", shown)) == 1
    assert "sagaflow launch hello-world" in shown
    assert processes_of(folder) == []
    assert sorted(path.name for path in folder.rglob("*")) == ["tmp"]


@pytest.mark.parametrize("presses", [pytest.param(1, marks=pytest.mark.long), 2])
def test_an_interrupted_demonstration_leaves_nothing(folder: Path, presses: int) -> None:
    """^C reaches the whole foreground group, in mid-run; another one changes nothing."""
    demo = begin(folder)
    assert demo.stdout is not None
    line = next(line for line in demo.stdout if "step started" in line or "demonstration did not" in line)
    assert "step started" in line
    running = len(processes_of(folder))
    assert running > 1
    os.killpg(demo.pid, signal.SIGINT)
    if presses > 1:
        waiting.eventually(lambda: len(processes_of(folder)) < running)
        os.killpg(demo.pid, signal.SIGINT)
    shown, _ = demo.communicate(timeout=LIMIT)
    assert demo.returncode == 130, shown
    assert "Traceback" not in shown
    waiting.eventually(lambda: processes_of(folder) == [])
    assert sorted(path.name for path in folder.rglob("*")) == ["tmp"]
