"""The Pythons on this machine that an environment can be made with."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from sagaflow_mcp import paths

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OLDEST = (3, 11)

PREFERRED = ((3, 13), (3, 12), (3, 11))
"""Those that Sagaflow is tried with, best first; a later one may lack packages that are made for it."""

NAMES = ("python3.13", "python3.12", "python3.11", "python3.14", "python3")

MORE_FOLDERS = ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "~/.local/bin")
"""Looked into as well: the `PATH` of a program that was started from a desktop is short."""

LOOK_SECONDS = 20.0
"""How long a Python may take to say what it is."""

QUESTION = "import sys; print(*sys.version_info[:2], sys.implementation.name); import ensurepip, venv"


class Python(NamedTuple):
    """One that was found and asked."""

    path: str
    version: tuple[int, int]
    lacks: str = ""
    """Why no environment can be made with it; empty when one can."""


def found(environ: Mapping[str, str]) -> list[Python]:
    """All from 3.11 up, best first; those that lack something come last."""
    asked = [python for path in _paths(environ) for python in [_asked(path)] if python is not None]
    recent = [python for python in asked if python.version >= OLDEST]
    return sorted(recent, key=lambda python: (bool(python.lacks), _rank(python.version)))


def _rank(version: tuple[int, int]) -> int:
    return PREFERRED.index(version) if version in PREFERRED else len(PREFERRED)


def _paths(environ: Mapping[str, str]) -> Iterator[str]:
    """Every candidate once, with links resolved: an environment that is made by way of a link breaks when it moves."""
    seen = set()
    for path in _candidates(environ):
        real = os.path.realpath(path)
        if os.access(path, os.X_OK) and os.path.isfile(real) and real not in seen:
            seen.add(real)
            yield real


def _candidates(environ: Mapping[str, str]) -> Iterator[str]:
    home = paths.user_folder(environ)
    yield sys.executable
    on_path = [folder for folder in environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(folder)]
    for folder in [*on_path, *(each.replace("~", home, 1) for each in MORE_FOLDERS)]:
        # pyenv's stand-ins are shell scripts that may find nothing; what they stand for comes below.
        if os.path.basename(folder) != "shims":
            yield from (os.path.join(folder, name) for name in NAMES)
    versions = os.path.join(environ.get("PYENV_ROOT") or os.path.join(home, ".pyenv"), "versions")
    try:
        names = os.listdir(versions)
    except OSError:
        return
    yield from (os.path.join(versions, name, "bin", "python3") for name in sorted(names, reverse=True))


def _asked(path: str) -> Python | None:
    """What the program `path` is; None when it is no CPython that answers."""
    try:
        answer = subprocess.run(
            [path, "-I", "-S", "-c", QUESTION],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            encoding="utf-8",
            errors="replace",
            timeout=LOOK_SECONDS,
            check=False,
        )
        major, minor, kind = answer.stdout.split()
        version = (int(major), int(minor))
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    complaint = answer.stderr.strip().splitlines()
    lacks = (complaint[-1] if complaint else f"exit status {answer.returncode}") if answer.returncode else ""
    return Python(path, version, lacks) if kind == "cpython" else None
