"""The files by which systemd and launchd run the engine."""

from __future__ import annotations

import configparser
import os
import plistlib
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import service_files
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.service_files import Service

if TYPE_CHECKING:
    from pathlib import Path

ODD = Service("/opt/a b 100%/$x/python", "/home/a b/$HOME/%h", False, {"PATH": "/usr/bin:/a b", "X": 'a"%$\\'})
"""Each character that means something to systemd."""


def parsed(text: str) -> configparser.ConfigParser:
    """The sections of a unit."""
    found = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",))
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string(text)
    return found


def test_a_unit_runs_the_engine_again_when_it_fails_and_leaves_its_children_alone() -> None:
    """And is started with the user's other services."""
    unit = parsed(service_files.unit(Service("/v/bin/python", "/h/.sagaflow", True, {"PATH": "/bin"})))
    assert unit["Service"]["ExecStart"] == '"/v/bin/python" "-m" "sagaflow_mcp.engine_service" "/h/.sagaflow"'
    assert unit["Service"]["Environment"] == '"PATH=/bin"'
    assert (unit["Service"]["Restart"], unit["Service"]["KillMode"]) == ("on-failure", "process")
    assert unit["Install"]["WantedBy"] == "default.target"


@pytest.mark.parametrize("make", [service_files.plist, lambda service: service_files.unit(service).encode()])
def test_the_interpreter_is_found_again(make: object) -> None:
    """Whatever is in its path."""
    assert callable(make)
    assert service_files.interpreter(make(ODD)) == ODD.python


@pytest.mark.parametrize("content", [b"", b"<?xml", b"[Service]\nExecStart=/bin/true\n", b"\xff"])
def test_a_file_of_somebody_elses_names_no_interpreter(content: bytes) -> None:
    """Nor does one that is damaged."""
    assert service_files.interpreter(content) == ""


def test_a_property_list_is_read_back_as_it_was_meant() -> None:
    """It starts with the login, and again when it fails."""
    found = plistlib.loads(service_files.plist(ODD))
    assert found["ProgramArguments"] == [ODD.python, "-m", "sagaflow_mcp.engine_service", ODD.home]
    assert found["EnvironmentVariables"] == ODD.environment
    assert found["Label"] == ODD.label
    assert found["RunAtLoad"] is True
    assert found["KeepAlive"] == {"SuccessfulExit": False}
    if plutil := shutil.which("plutil"):
        assert subprocess.run([plutil, "-lint", "-"], input=service_files.plist(ODD), check=False).returncode == 0


@pytest.mark.parametrize("make", [service_files.plist, service_files.unit])
@pytest.mark.parametrize("home", ["/a\nb", "/a\x1bb", "/a\udc80b"])
def test_a_path_that_would_be_another_is_refused(make: object, home: str) -> None:
    """A line of a unit ends at the end of a line."""
    assert callable(make)
    with pytest.raises(Refusal, match="has a character that"):
        make(ODD._replace(home=home))


def test_a_program_that_systemd_would_not_run_is_refused() -> None:
    """Told at the installation, and not by a service that never starts."""
    with pytest.raises(Refusal, match="a quote or a backslash"):
        service_files.unit(ODD._replace(python='/a"b/python'))


def test_each_home_has_a_service_of_its_own() -> None:
    """The default one is called sagaflow."""
    names = {Service("p", home, home == "/h", {}).name for home in ("/h", "/i", "/j")}
    assert len(names) == 3
    assert "sagaflow" in names


def test_systemd_finds_nothing_wrong_with_a_unit(tmp_path: Path) -> None:
    """Also with an interpreter and a home whose paths have characters that mean something to it."""
    if not (analyze := shutil.which("systemd-analyze")):
        pytest.skip("systemd-analyze is not installed here; the structure is checked above")
    folder = tmp_path / "a b 100% $d"
    folder.mkdir()
    folder.joinpath("python").symlink_to(sys.executable)
    service = ODD._replace(python=str(folder / "python"), home=str(folder / "home"))
    path = tmp_path / f"{service.name}.service"
    path.write_text(service_files.unit(service), encoding="utf-8")
    done = subprocess.run(
        [analyze, "--user", "--man=no", "verify", str(path)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
