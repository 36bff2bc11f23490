"""The environments that the plugin's server runs in: one per version of the plugin, in the plugin's data folder.

Beside `<data>/venvs/<stamp>` there are a lock that its builder holds alone and all who use it hold together, the state
of its building as JSON, and the log of that. It is whole once it has its marker.
"""

from __future__ import annotations

import binascii
import fcntl
import json
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from sagaflow_mcp import __version__, paths

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SOURCES = (
    "LICENSE",
    "README.md",
    "hooks",
    "pyproject.toml",
    "requirements-build.lock",
    "requirements.lock",
    "sagaflow_mcp",
    "skills",
)
"""What of the plugin's folder an environment is made from."""

MARKER = ".ok"


class Environment(NamedTuple):
    """One environment, there or not."""

    folder: str
    """Where all of them are."""
    stamp: str
    """What tells it from others."""

    @property
    def path(self) -> str:
        """The virtual environment itself."""
        return os.path.join(self.folder, self.stamp)

    @property
    def python(self) -> str:
        """Its interpreter."""
        return os.path.join(self.path, "bin", "python")

    @property
    def waker(self) -> list[str]:
        """The command that brings the engine back where runs are open."""
        return [self.python, "-I", "-m", "sagaflow_mcp.waking"]

    @property
    def marker(self) -> str:
        """The file that says that it is whole."""
        return os.path.join(self.path, MARKER)

    @property
    def lock(self) -> str:
        """Held by its builder alone, or by all who use it. It is never removed."""
        return self.path + ".lock"

    @property
    def state_file(self) -> str:
        """How far its building has come."""
        return self.path + ".build.json"

    @property
    def log(self) -> str:
        """What was said while it was built."""
        return self.path + ".build.log"

    def is_whole(self) -> bool:
        """Whether it can be used: also its interpreter, which is a link to one that may be gone, is there."""
        return os.path.exists(self.marker) and os.access(self.python, os.X_OK)

    def hold(self) -> int | None:
        """A descriptor that keeps it from being removed as long as it is open; None when it is not whole.

        Raises:
            OSError: its lock cannot be opened.
        """
        if not self.is_whole():
            return None
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if self.is_whole():  # It may have been removed before the lock was there.
            return descriptor
        os.close(descriptor)
        return None

    def is_locked(self) -> bool:
        """Whether somebody builds or removes it just now."""
        try:
            descriptor = os.open(self.lock, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def state(self) -> dict[str, Any]:
        """`state` (`building`, `failed` or `done`), `step`, `error` and `since`; empty when nothing is known."""
        try:
            with open(self.state_file, encoding="utf-8") as file:
                found = json.load(file)
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def others(self) -> list[Environment]:
        """The other environments in the folder, whole or not."""
        try:
            names = os.listdir(self.folder)
        except OSError:
            return []
        beside = [Environment(self.folder, name) for name in sorted(names) if name != self.stamp]
        return [each for each in beside if os.path.isdir(each.path) and os.path.exists(each.lock)]


def data_folder(environ: Mapping[str, str]) -> str:
    """Where the plugin keeps what it makes: what Claude Code says, else the user's own folder for such data."""
    given = environ.get("CLAUDE_PLUGIN_DATA")
    if given:
        return os.path.abspath(given)
    home = paths.user_folder(environ)
    shared = environ.get("XDG_DATA_HOME") or os.path.join(home, ".local", "share")
    return os.path.join(os.path.abspath(shared), "sagaflow")


def folder(environ: Mapping[str, str]) -> str:
    """Where all environments are."""
    return os.path.join(data_folder(environ), "venvs")


def of_plugin(root: str, environ: Mapping[str, str]) -> Environment:
    """The environment for the plugin in the folder `root`. OSError when that cannot be read."""
    return Environment(folder(environ), stamp(root))


def stamp(root: str) -> str:
    """What changes with the plugin in the folder `root`: its version, and a checksum of all it is built from.

    The version alone would not do: a marketplace that is a checkout is read in place, and changes under one version.
    The sum is to notice changes, not attacks; hashlib would double the launcher's memory.
    """
    total = 0
    for path in source_files(root):
        with open(os.path.join(root, path), "rb") as file:
            total = binascii.crc32(file.read(), binascii.crc32(os.fsencode(path), total))
    return f"{__version__}-{total:08x}"


def source_files(root: str) -> Iterator[str]:
    """The files of the plugin that an environment is made from, relative to `root`, in a fixed order."""
    for name in SOURCES:
        if os.path.isfile(os.path.join(root, name)):
            yield name
        for folder, folders, files in os.walk(os.path.join(root, name)):
            folders[:] = sorted(each for each in folders if each != "__pycache__")
            for file in sorted(files):
                yield os.path.relpath(os.path.join(folder, file), root)


def own() -> Environment | None:
    """The environment that this process runs in; None when it is none of these. To be asked when the process starts."""
    found = Environment(*os.path.split(sys.prefix))
    return found if os.path.exists(found.lock) else None


def hold_own() -> int | None:
    """The hold on the environment that this process runs in; None when it is none of these. Never raises."""
    found = own()
    try:
        return found.hold() if found else None
    except OSError:
        return None


def is_lost(environment: Environment | None) -> bool:
    """Whether `environment`, in which a process runs, was removed: Claude Code does that to an uninstalled plugin's."""
    return environment is not None and not environment.is_whole()
