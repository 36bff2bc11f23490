"""What is written down of the skills that the user trusts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import trust
from sagaflow_mcp.errors import Failure, Refusal

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home

ONE, TWO = Path("/projects/one"), Path("/projects/two")
A, B = "a" * 64, "b" * 64


def test_each_project_is_trusted_for_itself(home: Home) -> None:
    """With exactly the skills that were given last."""
    assert trust.trusted(home, ONE) == {}
    trust.put(home, ONE, {"x": A, "y": B})
    trust.put(home, TWO, {"x": B})
    trust.put(home, ONE, {"y": A})
    assert (trust.trusted(home, ONE), trust.trusted(home, TWO)) == ({"y": A}, {"x": B})
    assert Path(home.trust).stat().st_mode & 0o777 == 0o600


def test_trust_can_be_taken_back(home: Home) -> None:
    """Of one project; of the others it stays."""
    trust.put(home, ONE, {"x": A})
    trust.put(home, TWO, {"x": B})
    assert trust.remove(home, ONE)
    assert not trust.remove(home, ONE)
    assert (trust.trusted(home, ONE), trust.trusted(home, TWO)) == ({}, {"x": B})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 100_000,
        "[]",
        json.dumps({"schema": 2, "projects": {}}),
        json.dumps({"schema": 1}),
        json.dumps({"schema": 1, "projects": {str(ONE): [A]}}),
        json.dumps({"schema": 1, "projects": {str(ONE): {"x": ""}}}),
        json.dumps({"schema": 1, "projects": {str(ONE): {"x": None}}}),
        json.dumps({"schema": 1, "projects": {str(ONE): {"x": A + "\n"}}}),
    ],
)
def test_a_damaged_file_trusts_nothing_and_stays(home: Home, text: str) -> None:
    """The sentence says how to go on."""
    Path(home.trust).write_text(text, encoding="utf-8")
    with pytest.raises(Refusal, match=r"trust\.json.*; move it away, and no project is trusted"):
        trust.trusted(home, ONE)
    with pytest.raises(Refusal, match="move it away"):
        trust.put(home, ONE, {"x": A})
    assert Path(home.trust).read_text(encoding="utf-8") == text


def test_what_cannot_be_written_is_told(home: Home) -> None:
    """With the file and the reason."""
    Path(home.engine).rmdir()
    with pytest.raises(Failure, match=r"trust\.json' cannot be changed: No such file"):
        trust.put(home, ONE, {"x": A})


def test_of_many_commands_at_once_none_is_lost(home: Home) -> None:
    """Each reads what the one before has written."""
    code = (
        "import sys; from pathlib import Path; from sagaflow_mcp import trust; from sagaflow_mcp.paths import Home\n"
        "trust.put(Home(sys.argv[1]), Path(sys.argv[2]), {'x': 'a' * 64})"
    )
    projects = [Path(f"/projects/{number}") for number in range(8)]
    children = [subprocess.Popen([sys.executable, "-c", code, home.root, str(each)]) for each in projects]
    assert [child.wait(timeout=60) for child in children] == [0] * len(projects)
    assert all(trust.trusted(home, each) == {"x": A} for each in projects)
