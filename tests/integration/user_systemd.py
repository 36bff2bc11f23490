"""A systemd that runs one user's services, apart from the machine's own, where one can be had."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

import pytest

from tests.waiting import eventually

PROGRAM = next((each for each in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd") if Path(each).exists()), "")

SCRIPT = """
set -e
mount -t cgroup2 none /sys/fs/cgroup
group=/sys/fs/cgroup/sagaflow-test-$$
mkdir "$group"
echo $$ >"$group/cgroup.procs"
mount -t tmpfs none /run/systemd || mkdir -p /run/systemd
mkdir -p /run/systemd/system
status=0
"$1" --user || status=$?
echo 0 >/sys/fs/cgroup/cgroup.procs
find "$group" -depth -type d -exec rmdir {} + || true
exit $status
"""
"""In a namespace of its own, so that nobody else sees the control groups that it needs."""


class UserSystemd:
    """Runs the services of a user whose folder is `home`, until the context ends."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._runtime = Path(tempfile.mkdtemp(prefix="sagaflow-test-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs so that it talks to this one."""
        return {"HOME": str(self._home), "XDG_RUNTIME_DIR": str(self._runtime), "PATH": os.environ["PATH"]}

    def __enter__(self) -> Self:
        if sys.platform != "linux" or os.getuid() != 0 or not PROGRAM or not shutil.which("nsenter"):
            pytest.skip("a systemd of a user's own takes Linux, root and an installed systemd")
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh", PROGRAM]
        self._process = subprocess.Popen(
            command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        eventually(lambda: self._is_up() or self._process_ended(), "systemd runs")
        if self._process_ended():
            assert self._process.stderr is not None
            said = self._process.stderr.read().decode(errors="replace")
            self._clear()
            pytest.skip(f"no systemd of a user's own can be had here: {said[-300:]}")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self.systemctl("exit")
        try:
            self._process.wait(30)
        finally:
            self._process.kill()
            self._clear()

    def systemctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What it says."""
        return self.run("systemctl", "--user", *words)

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """What `command` says where this systemd is the one that the machine was started with."""
        assert self._process is not None
        return subprocess.run(
            ["nsenter", "--mount", "--target", str(self._process.pid), *command],
            env={**self.environment, **environment},
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=90,
        )

    def _is_up(self) -> bool:
        return self.systemctl("is-system-running").stdout.strip() in {"running", "degraded"}

    def _process_ended(self) -> bool:
        return self._process is not None and self._process.poll() is not None

    def _clear(self) -> None:
        if self._process is not None and self._process.stderr is not None:
            self._process.stderr.close()
        shutil.rmtree(self._runtime, ignore_errors=True)
