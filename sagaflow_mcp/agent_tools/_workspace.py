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

RUN_UNASKED = frozenset(
    {
        *(".git", ".gitconfig", ".gitmodules", ".husky", ".claude", ".claude.json", ".mcp.json", ".vscode", ".idea"),
        *(".bashrc", ".bash_login", ".bash_profile", ".profile", ".zshrc", ".zshenv", ".zprofile", ".envrc"),
    }
)
"""Names of files, and of folders with files, in which programs find commands that they run without being asked."""


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

    def readable(self, path: str) -> Path:
        """The file or folder `path`, with every symbolic link followed. Refusal when it must not be read."""
        return self._inside(path, [self.project, self.files, self.skill], "read")

    def writable(self, path: str) -> Path:
        """The file `path`, with every symbolic link followed. Refusal when it must not be written."""
        target = self._inside(path, [self.project, self.files], "write")
        files = _real(self.files)
        if _is_in(target, files):
            # In lower case, here and below: on macOS, Run.json is run.json.
            if target != files and target.relative_to(files).parts[0].lower() in artifacts.RESERVED:
                raise Refusal(f"cannot write {path!r}: it is one of Sagaflow's own files in the run's folder")
            return target
        if not RUN_UNASKED.isdisjoint(part.lower() for part in target.relative_to(_real(self.project)).parts):
            raise Refusal(f"cannot write {path!r}: programs run commands that stand there without asking anybody")
        return target

    def shown(self, path: Path) -> str:
        """`path` as the agent is told of it: relative where it lies below the start."""
        start = _real(self.start)
        return str(path.relative_to(start)) if path.is_relative_to(start) else str(path)

    def _inside(self, path: str, folders: list[str], verb: str) -> Path:
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
        if is_secret(target):
            raise Refusal(f"cannot {verb} {path!r}: files that hold credentials are out of reach")
        own = [_real(each) for each in (self.files, self.skill) if each]
        if self._is_hidden(target) and not any(_is_in(target, each) for each in own):
            raise Refusal(f"cannot {verb} {path!r}: it lies in Sagaflow's own folder")
        return target

    def _is_hidden(self, target: Path) -> bool:
        return bool(self.hidden) and _is_in(Path(str(target).lower()), Path(str(_real(self.hidden)).lower()))


def _real(path: str | Path) -> Path:
    # Not resolve(): it raises for a circle of links, which is told when the file is opened.
    return Path(os.path.realpath(path))


def _is_in(path: Path, folder: Path) -> bool:
    return path == folder or folder in path.parents


def is_secret(path: Path) -> bool:
    """Whether the path is one where programs keep credentials."""
    parts = [part.lower() for part in path.parts]
    named = any(fnmatch.fnmatchcase(parts[-1], pattern) for pattern in SECRET_FILES)
    return named or not SECRET_FOLDERS.isdisjoint(parts)
