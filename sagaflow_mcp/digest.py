"""The digest of a skill's directory: the same for the same files, whoever holds them and wherever they lie."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sagaflow_mcp.errors import BrokenSkill, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_BYTES = 50_000_000
"""The largest skill: its files' sizes added up."""

LEFT_OUT = frozenset(
    {
        ".DS_Store",
        ".git",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".venv",
        "__pycache__",
        "node_modules",
        "venv",
    }
)
"""Names that are no part of a skill, at any depth: caches, environments, a repository's own store."""

LEFT_OUT_PATTERNS = ("*.pyc", "*~", ".#*", ".*.sw?")
"""The same for compiled code and for what editors leave beside a file that is being edited."""


class SkillFile(NamedTuple):
    """One file of a skill."""

    path: str
    """Relative to the skill's directory, with `/` between its parts."""
    location: Path
    """Where it can be opened."""
    size: int
    """In bytes."""


class Snapshot(NamedTuple):
    """What a directory held at one moment."""

    digest: str
    """64 hexadecimal digits."""
    files: tuple[str, ...]
    """Relative paths, sorted."""


def files(directory: str) -> list[SkillFile]:
    """The files that make up the skill in `directory`, sorted by path; nothing is read but folders.

    A symbolic link that stays inside counts as what it points to. Devices, sockets and pipes are left out.

    Raises:
        Refusal: a link leads out of the directory, to nothing or in a circle, a folder cannot be read, or the files
            add up to too much.
    """
    root = Path(os.path.realpath(directory))
    found = sorted(_walk(root, "", (root,)), key=lambda file: os.fsencode(file.path))
    total = sum(file.size for file in found)
    if total > LIMIT_BYTES:
        largest = max(found, key=lambda file: file.size)
        raise Refusal(
            f"the skill in {str(directory)!r} has {total / 1e6:.0f} MB of files, more than the "
            f"{LIMIT_BYTES / 1e6:.0f} MB that a skill may have; the largest is {largest.path!r}: keep data elsewhere"
        )
    return found


def snapshot(directory: str) -> Snapshot:
    """The digest and the files of the skill in `directory`.

    Raises:
        Refusal: as `files` says, or a file cannot be read.
    """
    found = files(directory)
    seal = hashlib.sha256()
    for file in found:
        content = read(file)
        name = os.fsencode(file.path)
        # With both lengths in front, no two different sets of files give the same stream of bytes.
        seal.update(b"%d %d " % (len(name), len(content)) + name + content)
    return Snapshot(seal.hexdigest(), tuple(file.path for file in found))


def read(file: SkillFile) -> bytes:
    """The content of `file`; Refusal when it cannot be read or is growing past every limit."""
    try:
        with file.location.open("rb") as stream:
            content = stream.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise _unreadable(file.location, error) from error
    if len(content) > LIMIT_BYTES:
        raise Refusal(f"the file {str(file.location)!r} grew past {LIMIT_BYTES / 1e6:.0f} MB while it was read")
    return content


def _walk(root: Path, folder: str, above: tuple[Path, ...]) -> Iterator[SkillFile]:
    """The files under `folder` of `root`; `above` holds the real paths of the folders that lead to it."""
    here = root / folder
    try:
        names = [each.name for each in here.iterdir()]
    except OSError as error:
        raise _unreadable(here, error) from error
    for name in names:
        if name in LEFT_OUT or any(fnmatch.fnmatchcase(name, pattern) for pattern in LEFT_OUT_PATTERNS):
            continue
        location = here / name
        path = f"{folder}/{name}" if folder else name
        target = _target(root, location)
        try:
            kind = target.stat()
        except OSError as error:
            raise _unreadable(location, error) from error
        if stat.S_ISREG(kind.st_mode):
            yield SkillFile(path, target, kind.st_size)
        elif stat.S_ISDIR(kind.st_mode):
            if target in above:
                what = f"the symbolic link {str(location)!r} leads in a circle; remove it from the skill"
                raise BrokenSkill(what, str(location))
            yield from _walk(root, path, (*above, target))


def _target(root: Path, location: Path) -> Path:
    """`location` with links followed; Refusal when that is not inside `root`."""
    if not location.is_symlink():
        return location
    target = Path(os.path.realpath(location))
    if target != root and root not in target.parents:
        raise BrokenSkill(
            f"the symbolic link {str(location)!r} leads out of the skill, to {str(target)!r}: "
            "a skill is copied when it is launched, so put the file itself there",
            str(location),
        )
    return target


def _unreadable(path: Path, error: OSError) -> BrokenSkill:
    return BrokenSkill(f"{str(path)!r} is part of a skill and cannot be read: {error.strerror or error}", str(path))
