"""Another machine, as far as one can be had: a network namespace of its own, or else only another process."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class Elsewhere(NamedTuple):
    """A place to start processes in."""

    inside: tuple[str, ...]
    """The beginning of a command line that runs it there."""
    host: str
    """The address by which this machine is reached from there, and from here."""


HERE = Elsewhere((), "127.0.0.1")


@contextlib.contextmanager
def another_host() -> Iterator[Elsewhere]:
    """A network namespace that shares nothing with this machine but a cable; `HERE` where none can be made."""
    name = f"sagaflow-{secrets.token_hex(3)}"
    # Of the block that is kept for tests of networks (RFC 2544), four addresses for one cable.
    first = f"198.18.{secrets.randbelow(256)}.{4 * secrets.randbelow(64)}".rpartition(".")
    here, there = (f"{first[0]}.{int(first[2]) + offset}" for offset in (1, 2))
    end, other_end = f"s{name[-6:]}a", f"s{name[-6:]}b"
    made = [
        ["netns", "add", name],
        ["link", "add", end, "type", "veth", "peer", "name", other_end, "netns", name],
        ["address", "add", f"{here}/30", "dev", end],
        ["link", "set", end, "up"],
        ["-netns", name, "address", "add", f"{there}/30", "dev", other_end],
        ["-netns", name, "link", "set", other_end, "up"],
    ]
    try:
        yield Elsewhere(("ip", "netns", "exec", name), here) if all(map(_ip, made)) else HERE
    finally:
        _ip(["netns", "delete", name])  # The cable goes with it.


def _ip(words: list[str]) -> bool:
    if os.getuid() != 0 or shutil.which("ip") is None:
        return False
    return subprocess.run(["ip", *words], capture_output=True, check=False).returncode == 0
