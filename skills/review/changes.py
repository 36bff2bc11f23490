"""What is reviewed: what git says has changed, or files as they are. Nothing that the repository names is run."""

import asyncio
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from sagaflow_mcp.agent_tools import Workspace
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.git import DIFF, Git, TooMuch

LIMIT_BYTES = 400_000
"""The most that git may say at once: more than that no reviewer reads with care."""

LISTED = 500
"""How many files are named at most."""

SKIPPED = frozenset({".git", "node_modules", "__pycache__", ".venv"})
"""Folders that are not reviewed unless they are named."""

COMPARE = (*DIFF, "--find-renames")


class Material(BaseModel):
    """What is reviewed."""

    subject: str
    """In words that go on from "Review of"."""
    diff: str = ""
    """Empty where files are reviewed as they are."""
    files: list[str]
    """Those that are in the diff, or those to look at; `LISTED` at most."""
    new: list[str] = []
    """Those of a change that git does not track yet, so that the diff has nothing of them."""
    left_out: list[str] = []
    """Those that no agent may read, such as those that hold credentials."""


async def material(project: str, base: str, paths: list[str]) -> Material:
    """What has changed in the folder `project` since `base`, in `paths` where some are named.

    Without `base` it is those files as they are; without `paths` too, what is not committed yet.

    Raises:
        Refusal: there is nothing to review, too much, or git does not know.
    """
    if not project:
        raise Refusal("the run was launched from no folder, so there is nothing to review; launch it from a project's")
    if paths and not base:
        return await asyncio.to_thread(_files, project, paths)
    try:
        return await _changed(project, base or "HEAD", paths)
    except TooMuch as error:
        raise Refusal(f"{error}; name `paths` to review a part, or a nearer `base`") from None


def _files(project: str, paths: list[str]) -> Material:
    workspace = Workspace(project=project, files="")
    where = ", ".join(map(repr, paths))
    names: dict[str, None] = {}
    for name in itertools.chain.from_iterable(_below(workspace, path) for path in paths):
        names[name] = None
        if len(names) > LISTED:
            raise Refusal(f"there are over {LISTED} files in {where}; name fewer or smaller folders")
    files = [name for name in names if workspace.is_readable(name)]
    if not files:
        raise Refusal(f"there is no file in {where} that an agent may read, so there is nothing to review")
    subject = "the project's folder" if paths == ["."] else ", ".join(paths)
    return Material(subject=subject, files=files, left_out=[name for name in names if name not in set(files)])


def _below(workspace: Workspace, path: str) -> Iterator[str]:
    """The files in the folder `path`, or that one file. Refusal when there is none of that name."""
    target = workspace.readable(path)
    if target.is_file():
        yield workspace.shown(target)
    elif not target.is_dir():
        raise Refusal(f"there is no {path!r} in {workspace.project!r}; give `paths` from that folder")
    for where, folders, names in os.walk(target):
        folders[:] = sorted(set(folders) - SKIPPED)
        yield from (workspace.shown(Path(where, name)) for name in sorted(names) if Path(where, name).is_file())


async def _changed(project: str, base: str, paths: list[str]) -> Material:
    git = await Git.of(project)
    since = await _commit(git, project, base)
    chosen = [f":(literal){path}" for path in paths or ["."]]
    names = await git.names(*COMPARE, "--name-only", "-z", since, "--", *chosen, most_bytes=LIMIT_BYTES)
    new = await git.names("ls-files", "--others", "--exclude-standard", "-z", "--", *chosen, most_bytes=LIMIT_BYTES)
    left_out = await asyncio.to_thread(_unreadable, project, [*names, *new])
    kept, added = ([name for name in each if name not in set(left_out)] for each in (names, new))
    where = f" in {', '.join(paths)}" if paths else ""
    if not kept and not added:
        raise Refusal(
            f"nothing has changed{where or f' in {project!r}'} since {base!r}, so there is nothing to review"
            f"{' but files that no agent may read' if left_out else ''}; give another `base`, such as HEAD~1 or the "
            "branch that this one began from, or `paths` without `base` for files as they are"
        )
    if max(len(kept), len(added), len(left_out)) > LISTED:
        raise Refusal(f"over {LISTED} files have changed{where} since {base!r}; name `paths` to review a part of them")
    hidden = [f":(exclude,literal){name}" for name in left_out]
    return Material(
        subject=f"what has changed{where} since {base} ({since[:10]})",
        diff=await git.said(*COMPARE, since, "--", *chosen, *hidden, most_bytes=LIMIT_BYTES) if kept else "",
        files=list(map(_text, kept)),
        new=list(map(_text, added)),
        left_out=list(map(_text, left_out)),
    )


def _unreadable(project: str, names: list[str]) -> list[str]:
    workspace = Workspace(project=project, files="")
    return [name for name in names if not workspace.is_readable(name)]


async def _commit(git: Git, project: str, base: str) -> str:
    """Where the current branch left `base`, or `base` where they have nothing in common. Refusal if it is no commit."""
    asked = ("rev-parse", "--verify", "--quiet", f"{base}^{{commit}}")
    found = (await git.said(*asked, fine=(0, 1))).strip()
    if not found:
        raise Refusal(
            f"base is {base!r}, which is no commit of {project!r}; give a branch, a tag or a commit that "
            "`git log` shows, or `paths` without `base` for files as they are"
        )
    return (await git.said("merge-base", found, "HEAD", fine=(0, 1))).strip() or found


def _text(name: str) -> str:
    """A path as JSON can hold it: one that is not UTF-8 has replacement characters."""
    return os.fsencode(name).decode(errors="replace")
