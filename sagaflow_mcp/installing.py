"""The ways to install the plugin into an environment of its own, and what to say when one fails.

What is installed is what the lock files name, checked by its hashes; the plugin itself is made into a wheel from a copy
of its folder, with a build backend that is pinned like the rest.
"""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING, NamedTuple

from sagaflow_mcp import paths, processes, pythons, records

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sagaflow_mcp.environments import Environment
    from sagaflow_mcp.pythons import Python

LOCKS = ("requirements.lock", "requirements-build.lock")

NEEDED_BYTES = 700_000_000
"""Room for the environment, and for what is downloaded meanwhile."""

SOCKET_SECONDS = 15
"""How long an index may be silent before it is asked once more, or given up."""

RETRIES = 2

NOT_OURS = frozenset(
    {
        "CONDA_PREFIX",
        "PIP_PREFIX",
        "PIP_TARGET",
        "PYTHONHOME",
        "PYTHONPATH",
        "UV_PROJECT_ENVIRONMENT",
        "UV_SYSTEM_PYTHON",
        "VIRTUAL_ENV",
    }
)
"""Settings that would have something installed elsewhere. Indexes, proxies and certificates are the user's."""

NO_PYTHON = (
    "it needs Python 3.11 or later, and none was found; install one (such as python3.12 with its venv module), "
    "or uv, which brings its own (https://docs.astral.sh/uv)"
)

REASONS = (
    (
        r"No space left on device|\[Errno 28\]|os error 28|[Dd]isk quota exceeded",
        f"the disk is full: make room for {NEEDED_BYTES // 1_000_000} MB",
    ),
    (
        r"DO NOT MATCH THE HASHES|[Hh]ash mismatch",
        "a downloaded package is not the one that its hash names; use a package index that does not alter them",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|invalid peer certificate",
        "the certificate of the package index is not trusted; name the right one in SSL_CERT_FILE or in pip's settings",
    ),
    (
        (
            r"[Tt]imed out|[Tt]imeout|name resolution|not known|NewConnectionError|ProtocolError|ProxyError|dns error"
            r"|[Cc]onnection (?:refused|reset|broken|aborted)|[Nn]etwork is unreachable|error sending request"
        ),
        "the package index does not answer; check the network, or the proxy and the index in pip's or uv's settings",
    ),
)
"""What a tool says when it fails, and what that means. The first that is found counts."""


class Way(NamedTuple):
    """One way to install."""

    name: str
    make: tuple[str, ...]
    """The command that makes an empty environment."""
    install: tuple[str, ...]
    """The beginning of the command that installs the packages of the lock files."""
    add: tuple[str, ...]
    """The beginning of the command that installs the plugin."""
    is_last: bool
    """Whether the ways after it would fail as well, should it fail with an environment made."""

    def steps(self, environment: Environment, source: str) -> Iterator[tuple[str, list[str]]]:
        """Each command with what it does, in order; `source` is the copy of the plugin's folder."""
        locks = [word for lock in LOCKS for word in ("-r", os.path.join(source, lock))]
        yield "making an environment", list(self.make)
        yield "installing the packages that Sagaflow needs", [*self.install, *locks]
        yield "installing Sagaflow", [*self.add, source]
        # Also so that the first start finds its bytecode and its files in memory.
        yield "trying it", [environment.python, "-I", "-c", "import sagaflow_mcp.server"]


def ways(environment: Environment, environ: Mapping[str, str]) -> Iterator[Way]:
    """Those that there are on this machine, best first."""
    uv = _uv(environ)
    if uv:
        into = (uv, "pip", "install", "--python", environment.python, "--compile-bytecode")
        yield Way(
            "uv",
            (uv, "venv", "--no-project", "--python", ">=3.11", environment.path),
            (*into, "--require-hashes", "--only-binary", ":all:"),
            # Not from its cache: that would take another version in the same place for this one.
            (*into, "--no-deps", "--no-index", "--no-build-isolation", "--no-cache"),
            is_last=False,
        )
    pip = (environment.python, "-I", "-m", "pip", "install", "--no-input", "--disable-pip-version-check")
    bounds = ("--timeout", str(SOCKET_SECONDS), "--retries", str(RETRIES))
    for python in pythons.found(environ):
        if not python.lacks:
            yield Way(
                python.path,
                (python.path, "-I", "-m", "venv", "--clear", environment.path),
                (*pip, *bounds, "--require-hashes", "--only-binary", ":all:"),
                (*pip, "--no-deps", "--no-index", "--no-build-isolation", "--no-cache-dir"),
                is_last=True,
            )


def none_left(found: Sequence[Python]) -> str:
    """Why there is no way at all, with these Pythons from 3.11 up on this machine."""
    lacking = [python for python in found if python.lacks]
    if not lacking:
        return NO_PYTHON
    first = lacking[0]
    version = ".".join(map(str, first.version))
    return (
        f"{first.path} cannot make environments ({records.one_line(first.lacks, 120)}); install its venv module "
        f"(on Debian and Ubuntu: apt install python{version}-venv), or uv (https://docs.astral.sh/uv)"
    )


def environ_for(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` for the tools: with bounds, and without what would lead them elsewhere."""
    kept = {name: value for name, value in environ.items() if name not in NOT_OURS}
    bounds = {"UV_HTTP_TIMEOUT": str(SOCKET_SECONDS), "UV_HTTP_RETRIES": str(RETRIES)}
    return {**bounds, **kept, "PIP_USER": "0", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}


def reason(said: str, step: str, status: int = 1) -> str:
    """What `said`, the output of the command that failed at `step` with the exit status `status`, comes to."""
    for pattern, sentence in REASONS:
        if re.search(pattern, said):
            return sentence
    if status < 0:
        hint = ", which the system does when memory runs out" if -status == signal.SIGKILL else ""
        return f"{step} was ended by {processes.in_words(status)}{hint}"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"error\b|\w*Error\b", line, re.IGNORECASE)]
    last = (errors or lines or ["it said nothing"])[-1]
    return f"{step} failed: {records.one_line(last, 300).rstrip('.')}"


def _uv(environ: Mapping[str, str]) -> str:
    """The path of the `uv` command; empty when there is none."""
    home = paths.user_folder(environ)
    folders = [folder for folder in environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(folder)]
    for folder in [*folders, os.path.join(home, ".local", "bin"), os.path.join(home, ".cargo", "bin")]:
        path = os.path.join(folder, "uv")
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return ""
