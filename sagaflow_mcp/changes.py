"""What has changed in a folder since a moment that a step has noted, for steps of skills.

from sagaflow_mcp import changes

before = await ctx.step(changes.note, ctx.project_dir)
...
found = await ctx.step(changes.since, ctx.project_dir, before)
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sagaflow_mcp import commands
from sagaflow_mcp.agent_tools import Workspace
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.git import DIFF, Git

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_FILES = 5_000
"""Of a folder that has more, the others are not looked at, nor told as added or removed."""

MOST_BYTES = 5_000_000
"""Of a file that is larger, size and time are looked at instead of the content."""

LISTED_BYTES = 10_000_000
"""How long git's list of files may be."""

DIFF_BYTES = 30_000
"""How much of the beginning of a long diff, and of its end, is returned."""

MOST_LEFT_OUT = 500
"""Where more files that no agent may read have changed, there is no diff: git would be told of each."""

PASSED_OVER = frozenset({"__pycache__", "node_modules", "venv"})
"""Folders that hold what programs have made; those with a dot before their names are passed over as well."""

_COMMIT = re.compile(r"[0-9a-f]{40,64}\Z")


@dataclass(frozen=True)
class Noted:
    """A folder at a moment."""

    files: dict[str, str] = field(default_factory=dict)
    """The files that git knows or would, by their paths, each with what tells whether it is still the same; where there
    is no git, all but hidden ones and what programs have made."""
    commit: str = ""
    """Git's commit; empty where there is no git."""
    is_whole: bool = True
    """Whether these are all."""


@dataclass(frozen=True)
class Changes:
    """What is different in a folder."""

    added: list[str]
    changed: list[str]
    removed: list[str]
    diff: str = ""
    """Git's, from the commit that was noted; of a long one the beginning and the end. It has neither files that git
    does not know yet nor those that no agent may read, as they hold credentials. Empty where there is no git, or where
    git has no answer."""
    is_whole: bool = True
    """Whether all files of the folder were looked at."""

    @property
    def paths(self) -> list[str]:
        """Those of all that is different."""
        return sorted([*self.added, *self.changed, *self.removed])


async def note(folder: str) -> Noted:
    """The folder as it is now. Refusal when there is none."""
    if not await asyncio.to_thread(os.path.isdir, folder):
        raise Refusal(f"there is no folder {folder!r}; launch the run from one")
    listed, commit = await _known(folder)
    names = _walked(folder) if listed is None else listed
    files, is_whole = await asyncio.to_thread(_files, os.fsencode(folder), names)
    return Noted(files, commit, is_whole)


async def since(folder: str, before: Noted) -> Changes:
    """What is different in the folder from what was noted. Refusal when there is none."""
    now = await note(folder)
    old, new = _comparable(before, now)
    added, removed = sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())
    changed = sorted(name for name in new.keys() & old.keys() if new[name] != old[name])
    return Changes(added, changed, removed, await _diff(folder, before.commit), now.is_whole and before.is_whole)


def _comparable(before: Noted, now: Noted) -> tuple[dict[str, str], dict[str, str]]:
    """The files of both moments, up to the last place that was looked at in either.

    Where there are too many, one file more would else push another one out, which is still there.
    """
    ends = [max(map(_order, each.files)) for each in (before, now) if not each.is_whole and each.files]
    if not ends:
        return before.files, now.files
    old, new = ({name: each.files[name] for name in each.files if _order(name) <= min(ends)} for each in (before, now))
    return old, new


def _order(name: str) -> list[tuple[bool, str]]:
    """By which files are looked at: those of a folder before those of the folders in it."""
    *folders, file = name.split("/")
    return [*((True, each) for each in folders), (False, file)]


async def _diff(folder: str, commit: str) -> str:
    """Git's diff from that commit; empty where it has none, as where the commit is gone."""
    if not _COMMIT.match(commit):
        return ""
    output = commands.Output(2 * DIFF_BYTES, DIFF_BYTES)
    with contextlib.suppress(Refusal):
        git = await Git.of(folder)
        compare = (*DIFF, "--no-renames")
        names = await git.names(*compare, "--name-only", "-z", commit, "--", ".", most_bytes=LISTED_BYTES)
        left_out = await asyncio.to_thread(_unreadable, folder, names)
        if len(left_out) > MOST_LEFT_OUT:
            return f"(no diff: {len(left_out):,} files that no agent may read have changed)"
        await git.tell(output, *compare, commit, "--", ".", *(f":(exclude,literal){each}" for each in left_out))
        return output.shown()
    return ""


def _unreadable(folder: str, names: Iterable[str]) -> list[str]:
    workspace = Workspace(project=folder, files="")
    return [each for each in names if not workspace.is_readable(each)]


async def _known(folder: str) -> tuple[list[bytes] | None, str]:
    """The files that git knows or would, and the commit; None where the folder belongs to no repository, or no git."""
    listed = commands.Output(LISTED_BYTES, 0)
    try:
        git = await Git.of(folder)
        await git.tell(listed, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        names = listed.kept.split(b"\0")[:-1]  # What is last is empty, or a part of a name.
        return sorted(names, key=lambda name: _order(name.decode(errors="replace"))), await _commit(git)
    except Refusal:
        return None, ""


async def _commit(git: Git) -> str:
    """The commit that the folder is at, or the empty tree where there is none yet."""
    head = await git.said("rev-parse", "-q", "--verify", "HEAD", fine=(0, 1))
    return (head or await git.said("hash-object", "-t", "tree", os.devnull)).strip()


def _walked(folder: str) -> Iterator[bytes]:
    """The paths of the folder's files, in the `_order` of their names."""
    root = os.fsencode(folder)
    for where, folders, names in os.walk(root):
        folders[:] = sorted(each for each in folders if not _is_passed_over(each))
        for name in sorted(names):
            if not name.startswith(b"."):
                yield os.path.relpath(os.path.join(where, name), root)  # noqa: PTH118 - names that are no text


def _is_passed_over(name: bytes) -> bool:
    return name.startswith(b".") or name.decode(errors="replace") in PASSED_OVER


def _files(folder: bytes, names: Iterable[bytes]) -> tuple[dict[str, str], bool]:
    """What tells whether each of these files is still the same, and whether that is all of them."""
    found: dict[str, str] = {}
    for name in names:
        if len(found) >= MOST_FILES:
            return found, False
        with contextlib.suppress(OSError):  # Such as one that git knows and that is gone.
            found[name.decode(errors="replace")] = _state(os.path.join(folder, name))  # noqa: PTH118 - as above
    return found, True


def _state(path: bytes) -> str:
    """What is another one where the file is; OSError when there is none."""
    about = os.lstat(path)
    if os.path.islink(path):  # noqa: PTH114 - as above
        return hashlib.sha256(os.readlink(path)).hexdigest()[:16]  # noqa: PTH115 - as above
    if not os.path.isfile(path) or about.st_size > MOST_BYTES:  # noqa: PTH113 - as above
        return f"{about.st_size} {about.st_mtime_ns}"
    with open(path, "rb") as file:  # noqa: PTH123 - as above
        return f"{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}{'x' if about.st_mode & 0o100 else ''}"
