"""The lock file pins every dependency, in a version that the package accepts."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def test_the_lock_pins_every_dependency_within_its_range() -> None:
    """A dependency that was added or raised without a new lock is noticed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = dict(
        re.findall(
            r"^([A-Za-z0-9._-]+)==([^\s;]+)", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE
        )
    )
    wanted = [Requirement(each) for each in project["dependencies"]]
    assert [each.name for each in wanted if each.name not in pins] == []
    assert [each.name for each in wanted if not each.specifier.contains(pins[each.name])] == []


def test_the_lock_has_a_hash_for_every_pin() -> None:
    """What is installed from it is what was tried."""
    blocks = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text(encoding="utf-8").strip())
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []
