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

SECRET_PATHS = ("*/.config/gcloud/*", "*/.config/gh/*", "*/.git/config")
"""Patterns of the paths of files in which they do whose names alone say little."""

SECRET_FILES = (
    *(".env", ".env.*", ".envrc", ".netrc", "_netrc", ".npmrc", ".pgpass", ".pypirc", ".git-credentials"),
    *(".claude.json", ".credentials.json", "credentials.json", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519"),
    *("*.key", "*.pem", "*.p12", "*.pfx"),
)
"""Patterns of the names of files in which programs keep credentials."""

NO_SECRETS = (".env.example", ".env.sample", ".env.template")
"""Names of files that are there to be read, although such a pattern fits them."""

RUN_UNASKED = frozenset(
    {
        *(".git", ".gitconfig", ".gitmodules", ".husky", ".claude", ".claude.json", ".mcp.json", ".vscode", ".idea"),
        *(".bashrc", ".bash_login", ".bash_profile", ".profile", ".zshrc", ".zshenv", ".zprofile", ".envrc"),
    }
)
"""Names of files, and of folders with files, in which programs find commands that they run without being asked."""

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
        return _real(self.files)

    def readable(self, path: str) -> Path:
        """The file or folder `path`, with every symbolic link followed. Refusal when it must not be read."""
        return self._inside(path, [self.project, self.files, self.skill], "read")

    def writable(self, path: str) -> Path:
        """The file `path`, with every symbolic link followed. Refusal when it must not be written."""
        target = self._inside(path, [self.project, self.files], "write")
        if _is_in(target, self.run_files):
            return target
        if not RUN_UNASKED.isdisjoint(part.lower() for part in target.relative_to(_real(self.project)).parts):
            raise Refusal(f"cannot write {path!r}: programs run commands that stand there without asking anybody")
        return target

    def is_readable(self, path: str) -> bool:
        """Whether the file or folder `path` may be read."""
        try:
            self.readable(path)
        except Refusal:
            return False
        return True

    def shown(self, path: Path) -> str:
        """`path` as the agent is told of it: relative where it lies below the start, and valid Unicode."""
        start = _real(self.start)
        text = str(path.relative_to(start)) if path.is_relative_to(start) else str(path)
        return os.fsencode(text).decode(errors="replace")

    def _inside(self, path: str, folders: list[str], verb: str) -> Path:
        """The path with every link followed, which lies in one of `folders`, the first of which is the project."""
        try:
            target = _real(self.start / path)
        except ValueError:  # It holds a NUL, or half of a character.
            target = None
        if not path or target is None:
            raise Refusal(f"{path!r} is no path; give that of a file or a folder")
        known = [_real(each) for each in folders if each]
        if not any(_is_in(target, each) for each in known):
            where = " or ".join(map(str, known))
            raise Refusal(f"cannot {verb} {path!r}: it lies outside of {where}")
        if any(target.is_relative_to(each) for each in KERNEL_FOLDERS):
            raise Refusal(f"cannot {verb} {path!r}: what the kernel shows of itself and of processes is out of reach")
        if is_secret(target):
            raise Refusal(f"cannot {verb} {path!r}: files that hold credentials are out of reach")
        own = [_real(each) for each in folders[1:] if each]
        if self._is_hidden(target) and not any(_is_in(target, each) for each in own):
            raise Refusal(f"cannot {verb} {path!r}: it lies in Sagaflow's own folder")
        if self.run_files in target.parents and _is_reserved(target.relative_to(self.run_files)):
            raise Refusal(f"cannot {verb} {path!r}: it is one of Sagaflow's own files in the run's folder")
        return target

    def _is_hidden(self, target: Path) -> bool:
        # In lower case: as above.
        return bool(self.hidden) and _is_in(Path(str(target).lower()), Path(str(_real(self.hidden)).lower()))


def _real(path: str | Path) -> Path:
    # Not resolve(): it raises for a circle of links, which is told when the file is opened.
    return Path(os.path.realpath(path))


def _is_in(path: Path, folder: Path) -> bool:
    return path == folder or folder in path.parents


def _is_reserved(path: Path) -> bool:
    """Whether the path, from a run's folder, is one that Sagaflow keeps there."""
    # In lower case: on macOS, Run.json is run.json.
    return path.parts[0].lower() in artifacts.RESERVED


def is_secret(path: Path) -> bool:
    """Whether the path is one where programs keep credentials."""
    parts, whole = [part.lower() for part in path.parts], str(path).lower()
    if not SECRET_FOLDERS.isdisjoint(parts) or any(fnmatch.fnmatchcase(whole, pattern) for pattern in SECRET_PATHS):
        return True
    return parts[-1] not in NO_SECRETS and any(fnmatch.fnmatchcase(parts[-1], pattern) for pattern in SECRET_FILES)
