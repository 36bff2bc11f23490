"""The `sagaflow` command, in this process where it needs none of its own: to start that takes longest of all."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import cli

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LIMIT_SECONDS = 90


def in_process(*words: str, env: Mapping[str, str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What the command does in that environment and folder, with no terminal. A variable that is empty is not set.

    The test has failed when it takes longer than `LIMIT_SECONDS`.
    """
    given = {name: value for name, value in env.items() if value}
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        Path(os.devnull).open(encoding="utf-8") as nothing,
        _limited(words),
    ):
        patch.setattr(sys, "stdin", nothing)
        for name in os.environ.keys() - given.keys():
            patch.delenv(name)
        for name, value in given.items():
            patch.setenv(name, value)
        if cwd is not None:
            patch.chdir(cwd)
        status = cli.main(words)
    if status == cli.EXIT_INTERRUPTED:
        raise KeyboardInterrupt  # Somebody wants the tests to end.
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())


def as_process(*words: str, env: Mapping[str, str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The same in a process. TimeoutExpired when it takes longer than `LIMIT_SECONDS`."""
    return subprocess.run(
        [sys.executable, "-m", "sagaflow_mcp", *words],
        env={name: value for name, value in env.items() if value},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT_SECONDS,
        check=False,
    )


@contextlib.contextmanager
def _limited(words: tuple[str, ...]) -> Iterator[None]:
    """A body that is interrupted when it takes too long, and after which signals do what they did before."""

    def interrupt(*_: object) -> None:
        # No Exception, which the command would tell as a bug of its own.
        pytest.fail(f"sagaflow {' '.join(words)} has not ended within {LIMIT_SECONDS} s")

    before = {each: signal.getsignal(each) for each in (signal.SIGALRM, signal.SIGINT)}
    signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        for each, handler in before.items():
            signal.signal(each, handler)
