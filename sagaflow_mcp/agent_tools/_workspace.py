"""Which files an agent may touch: those of the folder that its run was launched from, and the run's own."""

from __future__ import annotations

import fnmatch
import os
from dataclasses import dataclass
from pathlib import Path

from sagaflow_mcp import artifacts
from sagaflow_mcp.errors import Refusal

SECRET_FOLDERS = frozenset({".aws", ".azure", ".docker", ".gnupg", ".kube", ".password-store", ".ssh"})
"""Folders in which programs keep credentials."""

SECRET_FILES = (
    *(".env", ".env.*", ".envrc", ".git-credentials", ".netrc", "_netrc", ".npmrc", ".pgpass", ".pypirc"),
    *(".credentials.json", "credentials.json", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "*.pem", "*.p12", "*.pfx"),
)
"""Patterns of the names of files in which programs keep credentials."""

KERNEL_FOLDERS = ("/proc", "/sys")
"""Folders whose files are not on a disk: some hold the environments of processes, others can be read for ever."""


@dataclass(frozen=True)
class Workspace:
    """The folders of an agent."""

    project: str
    """What relative paths start from; empty where the run was launched from no folder."""
    files: str
    """The run's own files."""
    skill: str = ""
    """The skill's files, which can only be read; empty for none."""
    hidden: str = ""
    """The home, of which only the run's and the skill's files can be reached."""

    @property
    def start(self) -> Path:
        """Where relative paths start."""
        return Path(self.project or self.files)

    @property
    def run_files(self) -> Path:
        """The run's own folder, with every symbolic link followed."""
        return Path(os.path.realpath(self.files))

    def readable(self, path: str) -> Path:
        """The file or folder `path`, with every symbolic link followed. Refusal when it must not be read."""
        return self._inside(path, [self.project, self.files, self.skill], "read")

    def writable(self, path: str) -> Path:
        """The file `path`, with every symbolic link followed. Refusal when it must not be written."""
        return self._inside(path, [self.project, self.files], "write")

    def is_readable(self, path: str) -> bool:
        """Whether the file or folder `path` may be read."""
        try:
            self.readable(path)
        except Refusal:
            return False
        return True

    def shown(self, path: Path) -> str:
        """`path` as the agent is told of it: relative where it lies below the start, and valid Unicode."""
        start = self.start.resolve()
        text = str(path.relative_to(start)) if path.is_relative_to(start) else str(path)
        return os.fsencode(text).decode(errors="replace")

    def _inside(self, path: str, folders: list[str], verb: str) -> Path:
        """The path with every link followed, which lies in one of `folders`, the first of which is the project."""
        if not path or "\0" in path:
            raise Refusal(f"{path!r} is no path; give that of a file or a folder")
        target = Path(os.path.realpath(self.start / path))
        known = [Path(os.path.realpath(each)) for each in folders if each]
        if not any(target == each or each in target.parents for each in known):
            where = " or ".join(map(str, known))
            raise Refusal(f"cannot {verb} {path!r}: it lies outside of {where}")
        if any(target.is_relative_to(each) for each in KERNEL_FOLDERS):
            raise Refusal(f"cannot {verb} {path!r}: what the kernel shows of itself and of processes is out of reach")
        if is_secret(target):
            raise Refusal(f"cannot {verb} {path!r}: files that hold credentials are out of reach")
        own = [Path(os.path.realpath(each)) for each in folders[1:] if each]
        if self._is_hidden(target) and not any(target == each or each in target.parents for each in own):
            raise Refusal(f"cannot {verb} {path!r}: it lies in Sagaflow's own folder")
        if self.run_files in target.parents and _is_reserved(target.relative_to(self.run_files)):
            raise Refusal(f"cannot {verb} {path!r}: it is one of Sagaflow's own files in the run's folder")
        return target

    def _is_hidden(self, target: Path) -> bool:
        home = Path(os.path.realpath(self.hidden)) if self.hidden else None
        return home is not None and (target == home or home in target.parents)


def _is_reserved(path: Path) -> bool:
    """Whether the path, from a run's folder, is one that Sagaflow keeps there."""
    return path.parts[0].lower() in artifacts.RESERVED


def is_secret(path: Path) -> bool:
    """Whether the path is one where programs keep credentials."""
    parts = [part.lower() for part in path.parts]
    named = any(fnmatch.fnmatchcase(parts[-1], pattern) for pattern in SECRET_FILES)
    return named or not SECRET_FOLDERS.isdisjoint(parts)
