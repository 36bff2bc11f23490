"""The `sagaflow` command without a process of its own, for what does not need one: to start it takes longest of all."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import cli

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

LIMIT_SECONDS = 90


def sagaflow(*words: str, env: Mapping[str, str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What the command does in that environment and folder, with no terminal. A variable that is empty is not set.

    TimeoutError when it takes longer than `LIMIT_SECONDS`.
    """
    given = {name: value for name, value in env.items() if value}
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        _limited(words),
    ):
        for name in os.environ.keys() - given.keys():
            patch.delenv(name)
        for name, value in given.items():
            patch.setenv(name, value)
        if cwd is not None:
            patch.chdir(cwd)
        status = cli.main(words)
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _limited(words: tuple[str, ...]) -> Iterator[None]:
    """A body that is interrupted when it takes too long."""

    def interrupt(*_: object) -> None:
        raise TimeoutError(f"sagaflow {' '.join(words)} has not ended within {LIMIT_SECONDS} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(LIMIT_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
