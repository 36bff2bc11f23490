"""The lineage of a home's workers: those of one machine, of which a later one knows that the earlier ones are dead."""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp.errors import Failure

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home


def of(home: Home) -> str:
    """What the workers of `home` on this machine have in common with no worker elsewhere: 12 hexadecimal digits.

    Raises:
        Failure: it cannot be read or, on first use, written.
    """
    path = Path(home.engine) / "lineage"
    try:
        try:
            with path.open("x", encoding="ascii") as file:
                file.write(secrets.token_hex(16))
        except FileExistsError:
            pass
        # With the machine's name and the file's number: somebody may copy a whole home to another machine, and a worker
        # there must not take this one's for dead.
        drawn, number = path.read_text(encoding="ascii"), path.stat().st_ino
    except OSError as error:
        raise Failure(f"{str(path)!r} cannot be used: {error.strerror or error}") from error
    return hashlib.sha256(f"{drawn} {platform.node()} {number}".encode()).hexdigest()[:12]


def identity(home_id: str, lineage: str) -> str:
    """What this process is called at Temporal, where names are in clear."""
    # Of this process and this start of it: recovery must never take a new worker for a dead one with the same pid.
    return f"{prefix(home_id, lineage)}{os.getpid()}/{secrets.token_hex(4)}"


def prefix(home_id: str, lineage: str) -> str:
    """How the identities of all workers of the home `home_id` and of `lineage` begin."""
    return f"sagaflow/{home_id}/{lineage}/"
