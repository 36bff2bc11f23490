"""Test cases of a skill, as they are read from their files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.testing import cases

if TYPE_CHECKING:
    from pathlib import Path


def found(skill: Path, case: Any) -> list[cases.Case]:
    """The cases of a skill that has this one."""
    (skill / cases.FOLDER).mkdir()
    (skill / cases.FOLDER / "first.json").write_text(json.dumps(case), encoding="utf-8")
    return cases.found(skill)


def test_a_case_has_the_files_of_the_folder_that_it_is_launched_from(tmp_path: Path) -> None:
    """By their paths; without such a member there are none."""
    (case,) = found(tmp_path, {"project": {"a.txt": "one\n", "src/deep/b.py": ""}})
    assert case.project == {"a.txt": "one\n", "src/deep/b.py": ""}
    assert cases.Case("bare").project == {}


@pytest.mark.parametrize("path", ["", "/etc/passwd", "..", "../a", "a/../../b", "a/", "a//b", "./a", "a\0b"])
def test_a_file_outside_of_that_folder_is_refused(tmp_path: Path, path: str) -> None:
    """As is what is no file's name."""
    with pytest.raises(Refusal, match=r"first\.json' is not in order: its project has a file .*such as 'src/app\.py'$"):
        found(tmp_path, {"project": {path: "text"}})


@pytest.mark.parametrize(
    ("project", "said"),
    [
        (["a.txt"], "its project must be a JSON object"),
        ({"a.txt": ["one"]}, r"its project has the file 'a\.txt' as \['one'\]; give its content, a text"),
        ({"a/b.txt": "", "a": ""}, r"has 'a' as a file and as the folder of 'a/b\.txt'; give one of them"),
    ],
)
def test_what_cannot_be_files_is_refused(tmp_path: Path, project: object, said: str) -> None:
    """In a sentence."""
    with pytest.raises(Refusal, match=said):
        found(tmp_path, {"project": project})
