"""Which Claude Code there is, and whether it is one that Sagaflow works with."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from sagaflow_mcp import child_environ, credentials, records
from sagaflow_mcp.health._check import Check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagaflow_mcp.faces import Face
    from sagaflow_mcp.settings import Settings

OLDEST = (2, 1, 197)
"""The oldest version that the plugin and the transport were tried with."""

SECONDS = 15.0
"""How long the command may take to say its version."""


def version(settings: Settings, _face: Face) -> Iterator[Check]:
    """The version of the `claude` command; nothing where there is none."""
    command = credentials.claude_in(settings.environ).get(credentials.CLAUDE) or shutil.which(
        "claude", path=settings.environ.get("PATH")
    )
    if not command:
        return
    try:
        done = subprocess.run(
            [command, "--version"],
            env=child_environ.of_child(settings.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = (
            "it did not say its version in time" if isinstance(error, subprocess.TimeoutExpired) else error.strerror
        )
        yield Check("claude code", "warn", f"{command} cannot be run: {reason}", "install Claude Code again")
        return
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", done.stdout)
    if done.returncode or not found:
        said = records.one_line(done.stdout or done.stderr, 120)
        yield Check("claude code", "warn", f"{command} does not say its version: {said}", "install Claude Code again")
    elif tuple(map(int, found.groups())) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        yield Check("claude code", "warn", f"{command} is {found[0]}, older than {oldest}", "update it: claude update")
    else:
        yield Check("claude code", "ok", f"{found[0]}, {command}")
