"""The files of one run: artifacts, the staged ending, the transcript."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import paths, records
from sagaflow_mcp.errors import Failure, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME_LIMIT = 200
"""Longest file name taken, in bytes: file systems allow 255, and a temporary name is longer than the final one."""

PATH_LIMIT = 1_000
"""Longest path taken, in bytes: macOS allows 1,024."""

TRANSCRIPT = "transcript.jsonl"
"""The file of what happened in a run, an event a line; it is begun with the first step."""

REPORT = "report.md"
"""The report of a run: the skill's own, or one made of its ending."""

PROGRESS = "progress.json"
"""The file of how far a run said that it has come."""

LOG = "log.txt"
"""The file of what a run's code logs."""

PAUSED = "paused.json"
"""The file that a run has while a person has paused it."""

RETRIED = "retried.json"
"""The file that says from the beginning of which of its executions a run was retried."""

EXECUTION = "first-execution.json"
"""The file that says which of Temporal's executions the run began with."""

CHILDREN = "child-runs"
"""The folder with the files of a run's children, a folder each."""

AGENTS = "agents"
"""The folder with the conversations of a run's agents, a folder each."""

SERVERS = "mcp-servers"
"""The folder with what a run's MCP servers say on standard error, a file each."""

RESERVED = frozenset(
    {
        *("run.json", "ending.json", "finding.json", PAUSED, RETRIED, EXECUTION, TRANSCRIPT, PROGRESS, LOG),
        *(CHILDREN, AGENTS, SERVERS, "journal", "questions"),
    }
)
"""Names in a run's folder that belong to Sagaflow."""

PASSING = frozenset({errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOSPC})
"""Errors of a disk that another attempt may not meet."""


def confined(run_dir: Path, path: str) -> Path:
    """The absolute form of `path`, which lies inside `run_dir` with every symbolic link followed.

    Raises:
        Refusal: it lies outside, is the folder itself, or a name in it is too long or reserved.
    """
    root = run_dir.resolve()
    if not _is_name(path):
        raise Refusal(f"path {path!r} is not a file name; give one inside the run's folder {str(run_dir)!r}")
    if any(len(os.fsencode(part)) > NAME_LIMIT for part in path.split("/")):
        raise Refusal(f"path {path[:60]!r}… has a name of over {NAME_LIMIT} bytes; give a shorter one")
    if len(os.fsencode(path)) > PATH_LIMIT:
        raise Refusal(f"path {path[:60]!r}… has over {PATH_LIMIT:,} bytes; give a shorter one")
    # Not resolve(): it raises for a circle of links, which is told when the file is opened.
    target = Path(os.path.realpath(root / path))
    if root not in target.parents:
        raise Refusal(f"path {path!r} lies outside the run's folder {str(run_dir)!r}; give one inside it")
    first, *inner = target.relative_to(root).parts
    if inner and first.lower() == REPORT:
        raise Refusal(f"path {path!r} takes {REPORT!r} for a folder, but that is the run's report; give another name")
    # In lower case: on macOS, Run.json is run.json.
    if first.lower() in RESERVED:
        raise Refusal(f"path {path!r} is one of Sagaflow's own files in the run's folder; give another name")
    return target


def _is_name(path: str) -> bool:
    """Whether a file can have the name `path` on any file system."""
    try:
        return bool(path) and b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def write(run_dir: Path, path: str, content: str) -> Path:
    """The file that now holds `content`, written whole or not at all.

    Raises:
        Refusal: `path` is not inside `run_dir`, or can never be written there.
        Failure: the file cannot be written now, because the disk is full or failing.
    """
    target = confined(run_dir, path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        paths.write_atomically(str(target), content)
    except OSError as error:
        kind = Failure if error.errno in PASSING else Refusal
        raise kind(f"{str(target)!r} cannot be written: {error.strerror or error}") from error
    except UnicodeEncodeError as error:
        raise Refusal(f"the content for {path!r} is not valid Unicode: {error.reason}") from error
    return target


def read(run_dir: Path, path: str) -> str:
    """The text of a file in the run's folder; Refusal when it is outside or cannot be read."""
    target = confined(run_dir, path)
    try:
        return target.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{str(target)!r} cannot be read: {error}") from error


def write_json(path: Path, value: object, *, durable: bool = True) -> None:
    """Replace `path` by `value` as JSON; OSError if it cannot be written.

    What is not `durable` does not wait for the disk: after a power cut there may be an older value.
    """
    paths.write_atomically(str(path), json.dumps(value, indent=1) + "\n", durable=durable)


@contextlib.contextmanager
def changing(what: str, folder: str | Path) -> Iterator[None]:
    """Have an OSError of the body be a Failure which says that `what`, such as "the pause", is not in `folder`."""
    try:
        yield
    except OSError as error:
        raise Failure(f"{what} cannot be written to {str(folder)!r}: {error.strerror or error}") from error


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in `path`; None when there is none or it is damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def stage_ending(run_dir: Path, status: str, summary: str) -> None:
    """Keep the run's own words for its ending until the ending is delivered."""
    write_json(run_dir / "finding.json", {"status": status, "summary": summary})


def append_event(run_dir: Path, event: str, **fields: object) -> None:
    """Add one line to the run's transcript; a line torn by a crash or a full disk is skipped by readers.

    Raises:
        OSError: it cannot be written.
    """
    line = json.dumps({"at": records.now(), "event": event, **fields}) + "\n"
    descriptor = os.open(run_dir / TRANSCRIPT, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        # A torn line is ended first: it would swallow this one.
        os.write(descriptor, (b"\n" if torn else b"") + line.encode())
    finally:
        os.close(descriptor)


def note_event(run_dir: Path, event: str, **fields: object) -> None:
    """As `append_event`, but a line that cannot be written is left out: nothing must fail for it."""
    with contextlib.suppress(OSError):  # The disk is full, say, or the folder is gone.
        append_event(run_dir, event, **fields)


def events(run_dir: Path) -> Iterator[dict[str, Any]]:
    """The transcript's events in order; none when there is no transcript."""
    try:
        file = (run_dir / TRANSCRIPT).open(encoding="utf-8", errors="replace")
    except OSError:
        return
    with file:
        for line in file:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                yield value
