"""What a run has from the one that it goes on from: results of steps that are the same, and agents' conversations.

The files of that one are only read.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sagaflow_mcp import artifacts
from sagaflow_mcp.durable.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagaflow_mcp.paths import Home


class Inherited(NamedTuple):
    """The result of a step of another run."""

    run_id: str
    """The run, for which it is sealed."""
    sealed: bytes


def result(home: Home, run_id: str, ancestors: Sequence[str], key: str) -> Inherited | None:
    """What the step `key` of the run `run_id` need not do again; None where it has its result, or none is to be had.

    Args:
        home: of all of these runs.
        run_id: the run.
        ancestors: the run that it goes on from, the one that that goes on from, and so on.
        key: of the step.
    """
    own = Journal(Path(home.run(run_id)))
    if own.read(key) is not None:
        return None
    is_prompt = key.startswith("prompt-")
    ordinal = 0 if is_prompt else own.ordinal(key)
    for ancestor in ancestors:
        journal = Journal(Path(home.run(ancestor)))
        sealed = journal.read(key) if is_prompt else journal.nth(key, ordinal)
        if sealed is not None:
            return Inherited(ancestor, sealed)
    return None


def conversation(folders: Sequence[Path]) -> None:
    """Give the first of `folders`, a run's own for an agent's conversation, what the first of the others has."""
    own, *others = folders
    there = next((each for each in others if each.is_dir()), None)
    if own.exists() or there is None:
        return
    own.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = own.with_name(f"{own.name}.{os.getpid()}.{os.urandom(4).hex()}~")
    try:
        shutil.copytree(there, draft)
        draft.rename(own)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        if not own.exists():
            raise


def files(home: Home, run_id: str, parent: str) -> None:
    """Give the run `run_id` copies of the files that its parent has made. OSError where they cannot be copied."""
    source, target = Path(home.run(parent)), Path(home.run(run_id))
    for entry in os.scandir(source):
        is_ours = entry.name in artifacts.RESERVED - {artifacts.CHILDREN} or entry.name == artifacts.REPORT
        if is_ours or entry.is_symlink():
            continue
        if entry.is_dir():
            shutil.copytree(entry.path, target / entry.name, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(entry.path, target / entry.name)
