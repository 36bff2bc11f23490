"""Which Python an environment is made with, and what a failed installation comes to."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import environments, installing, plugin_options, pythons
from sagaflow_mcp.environments import Environment
from sagaflow_mcp.pythons import Python

if TYPE_CHECKING:
    from pathlib import Path

PIP_OFFLINE = """\
WARNING: Retrying (Retry(total=1, connect=None, read=None, redirect=None, status=None)) after connection broken by \
'NewConnectionError("Failed to establish a new connection: [Errno 111] Connection refused")': /simple/anyio/
ERROR: Could not find a version that satisfies the requirement anyio==4.16.0 (from versions: none)
ERROR: No matching distribution found for anyio==4.16.0
"""

SAID = [
    (PIP_OFFLINE, "the package index does not answer"),
    ("ReadTimeoutError: HTTPSConnectionPool(host='x', port=443): Read timed out.", "the package index does not answer"),
    ("error: Failed to fetch: `https://x/simple/`\n  Caused by: dns error: failed to lookup", "does not answer"),
    ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
    ("error: failed to write: No space left on device (os error 28)", "the disk is full"),
    ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "not the one that its hash names"),
    (
        "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] ...'))",
        "certificate of the package index",
    ),
    ("Collecting x\nERROR: No matching distribution found for x==1\n\n", "installing failed: ERROR: No matching"),
    (
        "Traceback (most recent call last):\n  ...\nImportError: no\x1b[31m <b>\nbye",
        "installing failed: ImportError: no",
    ),
    ("", "installing failed: it said nothing"),
]


@pytest.mark.parametrize(("said", "sentence"), SAID)
def test_a_failure_is_one_sentence(said: str, sentence: str) -> None:
    """It says what to do where that is known, else the tool's own last error, made harmless."""
    found = installing.reason(said, "installing")
    assert sentence in found
    assert found.isprintable()
    assert "<" not in found


def test_a_tool_that_was_killed_is_told_of_as_such() -> None:
    """Not with the last harmless thing that it said; a reason that it gave before still counts."""
    said = "WARNING: Location 'file:///packages' is ignored: it is not there."
    assert installing.reason(said, "installing", -9) == (
        "installing was ended by SIGKILL, which the system does when memory runs out"
    )
    assert installing.reason(said, "installing", -15) == "installing was ended by SIGTERM"
    assert "the disk is full" in installing.reason("No space left on device", "installing", -9)


def program(path: Path, text: str) -> Path:
    """A shell script at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o700)
    return path


def test_the_pythons_that_can_make_environments_come_first(tmp_path: Path) -> None:
    """One without ensurepip, a shim, an old one and one that hangs or fails are no use."""
    commands = tmp_path / "bin"
    lacking = program(commands / "python3.13", "echo 3 13 cpython; echo ModuleNotFoundError: ensurepip >&2; exit 1")
    program(commands / "python3.12", "echo 3 8 cpython")
    program(commands / "python3.11", "exit 9")
    program(commands / "python3", "echo 3 12 pypy")
    program(tmp_path / "shims" / "python3.12", "echo 3 12 cpython")
    newest = program(tmp_path / ".pyenv" / "versions" / "3.99.0" / "bin" / "python3", "echo 3 99 cpython")
    environ = {"PATH": f"{commands}:{tmp_path / 'shims'}:not/absolute", "HOME": str(tmp_path)}
    found = pythons.found(environ)
    ours = [python for python in found if str(tmp_path) in python.path]
    assert ours == [
        Python(str(newest), (3, 99)),
        Python(str(lacking), (3, 13), "ModuleNotFoundError: ensurepip"),
    ]
    assert found[-1] == ours[-1]
    assert sys.version_info[:2] in {python.version for python in found}


def test_without_a_python_the_cure_is_named() -> None:
    """Another one where there is none, and the missing part where one lacks it."""
    assert "Python 3.11 or later" in installing.none_left([])
    sentence = installing.none_left([Python("/usr/bin/python3.12", (3, 12), "No module named 'ensurepip'")])
    assert "/usr/bin/python3.12 cannot make environments (No module named 'ensurepip')" in sentence
    assert "apt install python3.12-venv" in sentence


def test_uv_comes_first_where_there_is_one(tmp_path: Path) -> None:
    """Also where only a login shell would have it on its PATH; what pip would do follows."""
    environment = Environment(str(tmp_path), "stamp")
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    uv = str(program(tmp_path / ".cargo" / "bin" / "uv", "exit 0"))
    first, *others = installing.ways(environment, environ)
    assert first.make[0] == uv
    assert uv not in {way.make[0] for way in others}
    for way in (first, *others):
        commands = [command for _, command in way.steps(environment, "/source")]
        assert "--require-hashes" in commands[1]
        assert "--no-index" in commands[2]
        assert "--no-build-isolation" in commands[2]


def test_tools_are_not_led_elsewhere() -> None:
    """The user's index stays, another environment does not; nothing waits for ever."""
    given = {"PIP_INDEX_URL": "http://own", "PIP_TARGET": "/elsewhere", "VIRTUAL_ENV": "/other", "UV_HTTP_TIMEOUT": "3"}
    found = installing.environ_for(given)
    assert found["PIP_INDEX_URL"] == "http://own"
    assert found["UV_HTTP_TIMEOUT"] == "3"
    assert not found.keys() & {"PIP_TARGET", "VIRTUAL_ENV"}


def test_the_data_folder_is_what_claude_code_says(tmp_path: Path) -> None:
    """Else the user's own folder for data."""
    home = {"HOME": str(tmp_path)}
    assert environments.data_folder({**home, "CLAUDE_PLUGIN_DATA": "/data/plugin"}) == "/data/plugin"
    assert environments.data_folder({**home, "XDG_DATA_HOME": "/data"}) == "/data/sagaflow"
    assert environments.data_folder(home) == str(tmp_path / ".local" / "share" / "sagaflow")


def test_the_stamp_changes_with_what_is_installed(tmp_path: Path) -> None:
    """And with nothing else."""
    program(tmp_path / "sagaflow_mcp" / "server.py", "one")
    first = environments.stamp(str(tmp_path))
    tmp_path.joinpath("notes.txt").touch()
    program(tmp_path / "sagaflow_mcp" / "__pycache__" / "server.pyc", "compiled")
    assert environments.stamp(str(tmp_path)) == first
    tmp_path.joinpath("sagaflow_mcp", "server.py").rename(tmp_path / "sagaflow_mcp" / "servant.py")
    second = environments.stamp(str(tmp_path))
    program(tmp_path / "sagaflow_mcp" / "servant.py", "two")
    assert len({first, second, environments.stamp(str(tmp_path))}) == 3


def test_the_plugins_settings_go_before_the_environment() -> None:
    """Where they are set; empty is unset."""
    given = {
        "SAGAFLOW_HOME": "/own",
        "ANTHROPIC_API_KEY": "own",
        "SAGAFLOW_OPTION_HOME": "/set",
        "SAGAFLOW_OPTION_API_KEY": "",
    }
    assert plugin_options.applied(given) == {"SAGAFLOW_HOME": "/set", "ANTHROPIC_API_KEY": "own"}
