"""The lock files pin every dependency and the build backend, in versions that the package accepts."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


LOCKS = {
    "requirements.lock": lambda project: project["project"]["dependencies"],
    "requirements-build.lock": lambda project: project["build-system"]["requires"],
}
"""Each lock file, and what it is made from."""


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_pins_every_dependency_within_its_range(lock: str) -> None:
    """A dependency that was added or raised without a new lock is noticed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pins = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))
    wanted = [Requirement(each) for each in LOCKS[lock](project)]
    assert [each.name for each in wanted if each.name not in pins] == []
    assert [each.name for each in wanted if not each.specifier.contains(pins[each.name])] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_has_a_hash_for_every_pin(lock: str) -> None:
    """What is installed from it is what was tried."""
    blocks = re.split(r"\n(?=\S)", (ROOT / lock).read_text(encoding="utf-8").strip())
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []
