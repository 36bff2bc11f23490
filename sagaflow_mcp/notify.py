"""The desktop notification of an inbox entry, where the system has one."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sagaflow_mcp.records import Entry
    from sagaflow_mcp.settings import Settings

LIMIT_SECONDS = 10
"""How long the system's command may take before it is ended."""


def command(entry: Entry) -> list[str] | None:
    """The command that shows `entry` on this system; None where there is none."""
    title, body = f"Sagaflow: {entry.skill} {entry.status}", entry.summary[:200]
    if sys.platform == "darwin" and shutil.which("osascript"):
        # The texts are arguments of the script, never part of its source.
        script = "on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run"
        return ["osascript", "-e", script, title, body]
    if shutil.which("notify-send"):
        return ["notify-send", "--app-name=Sagaflow", "--", title, body]
    return None


def show(settings: Settings, entry: Entry) -> None:
    """Show `entry` without waiting; nothing happens where notifications are off or not available. Never raises."""
    arguments = command(entry) if settings.notify else None
    if arguments is None:
        return
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return
    threading.Thread(target=_reap, args=(process,), daemon=True).start()


def _reap(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
