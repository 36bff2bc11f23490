"""The real tools that the acceptance tests use: commands from npm, pip, and this checkout as a user has it."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp_types import TextContent

if TYPE_CHECKING:
    from mcp import Client

ROOT = Path(__file__).parents[2]
COMMANDS = Path(sysconfig.get_path("scripts"))
"""Where `sagaflow` and `sagaflow-mcp` are."""

INSTALLED = {"SAGAFLOW_SERVER": shlex.quote(str(COMMANDS / "sagaflow-mcp"))}
"""Has the plugin use the environment of these tests, instead of building one of its own."""

CLAUDE_CODE = ("@anthropic-ai/claude-code", "2.1.330")
OLDER_CLAUDE_CODE = ("@anthropic-ai/claude-code", "2.1.197")
"""The oldest that is supported. It speaks the older protocol, and copies a plugin that the newer one reads in place."""

INSPECTOR = ("@modelcontextprotocol/inspector", "2.12.0")

CACHE = ROOT / ".cache"
"""What was downloaded stays here, so that the next run of the tests is quick."""

USER_HOME = Path.home()
"""Read while the tests are collected: afterwards `HOME` is a throw-away folder. npm's and pip's settings are in it."""

INSTALL_SECONDS = 400
"""How long an installation may take, downloads included."""

PIP_SETTINGS = (".config/pip/pip.conf", "Library/Application Support/pip/pip.conf", ".pip/pip.conf")


def path(*first: Path) -> str:
    """A `PATH` that begins with `first` and our own commands."""
    return os.pathsep.join([*map(str, first), str(COMMANDS), os.environ.get("PATH", os.defpath)])


def oldest_python() -> str:
    """A Python 3.9 of this machine, the oldest that launcher, hook and engine run on; this one where there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", USER_HOME / ".pyenv"))
    for candidate in (shutil.which("python3.9"), *pyenv.glob("versions/3.9.*/bin/python3.9")):
        if candidate is not None:
            # Asked, since pyenv has commands that only say where to get one.
            command = [str(candidate), "-I", "-c", "import sys; print(sys.executable)"]
            asked = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
            if asked.returncode == 0:
                return asked.stdout.strip()
    return sys.executable


def npm_package(package: tuple[str, str]) -> Path:
    """The folder in which npm has installed `package`, a name and an exact version; installed when it is not there."""
    name, version = package
    store = CACHE / "npm"
    store.mkdir(parents=True, exist_ok=True)
    folder = store / f"{name.rpartition('/')[2]}-{version}"
    with store.joinpath(".lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            draft = folder.with_suffix(".draft")
            shutil.rmtree(draft, ignore_errors=True)
            _npm_install(draft, f"{name}@{version}")
            draft.rename(folder)
    return folder


def _npm_install(folder: Path, package: str) -> None:
    settings = os.environ.get("NPM_CONFIG_USERCONFIG", str(USER_HOME / ".npmrc"))
    run(
        ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", package],
        env={**os.environ, "NPM_CONFIG_USERCONFIG": settings},
        seconds=INSTALL_SECONDS,
    )


def pip_environment() -> dict[str, str]:
    """This environment, with the user's settings of pip and a cache that stays.

    Only what is used is compiled, when it is: a third of an installation's time goes into the rest.
    """
    found = [str(USER_HOME / name) for name in PIP_SETTINGS if USER_HOME.joinpath(name).exists()]
    settings = {"PIP_CONFIG_FILE": found[0]} if found else {}
    return {**settings, "PIP_CACHE_DIR": str(CACHE / "pip"), "PIP_NO_COMPILE": "1", **os.environ}


def copy_of_checkout(folder: Path) -> Path:
    """A copy of this checkout in `folder`, without what is not part of it."""
    ignored = ROOT.joinpath(".gitignore").read_text(encoding="utf-8").split()
    leave_out = shutil.ignore_patterns(".git", *(name.rstrip("/") for name in ignored))
    return Path(shutil.copytree(ROOT, folder, ignore=leave_out, symlinks=True))


def run(
    command: list[str] | str, *, env: dict[str, str], cwd: Path | None = None, seconds: float = 60
) -> subprocess.CompletedProcess[str]:
    """What `command` said, with nothing to read; a string goes to a shell. It must succeed."""
    ended = subprocess.run(
        command,
        env=env,
        cwd=cwd,
        shell=isinstance(command, str),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=seconds,
        check=False,
    )
    assert ended.returncode == 0, f"{command}: {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
    return ended


async def said(client: Client, tool: str, **arguments: Any) -> tuple[bool, str]:
    """Whether a tool failed, and its text."""
    result = await client.call_tool(tool, arguments)
    (content,) = result.content
    assert isinstance(content, TextContent)
    return bool(result.is_error), content.text
