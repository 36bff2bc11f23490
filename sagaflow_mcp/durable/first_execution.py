"""The execution that a run was launched as: what somebody starts once more, who has read that start, is another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import artifacts, paths

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home


def known(home: Home, run_id: str) -> str:
    """Temporal's id of the execution that the run `run_id` began with, which a retry keeps; empty while none is known.

    None is before its input was first built, for a run of an older version, and where the file is damaged.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        found = json.loads(_path(home, run_id).read_bytes())["first"]
    except FileNotFoundError:
        return ""
    except (ValueError, LookupError, TypeError):
        return ""
    return found if isinstance(found, str) else ""


def keep(home: Home, run_id: str, execution: str) -> bool:
    """Whether `execution` is the one that the run began with: of several that ask for the first time, the first.

    Raises:
        OSError: that cannot be written down.
    """
    before = known(home, run_id)
    if before:
        return before == execution
    path, text = str(_path(home, run_id)), json.dumps({"first": execution}) + "\n"
    if paths.write_first(path, text):
        return True
    before = known(home, run_id)
    if not before:  # Damaged, as by a disk that was full.
        paths.write_atomically(path, text)
    return before in {"", execution}


def _path(home: Home, run_id: str) -> Path:
    return Path(home.run(run_id), artifacts.EXECUTION)
