"""What all tests share: a throw-away home, and no way to the user's own files."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp.paths import Home

if TYPE_CHECKING:
    from collections.abc import Iterator


FIRST = ("test_schedules", "test_claude_code", "test_live_notice", "test_readme", "test_skills_new")
"""The files that take longest, mostly to wait: begun last, they would be what everybody waits for."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Hand out the longest files before all others."""
    items.sort(key=lambda item: FIRST.index(item.path.stem) if item.path.stem in FIRST else len(FIRST))


@pytest.fixture(scope="session", autouse=True)
def no_real_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Makes the user's home, settings and credentials unreachable for the whole run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("no-real-home")))
        for name in list(os.environ):
            if name.startswith(("SAGAFLOW_", "ANTHROPIC_", "CLAUDE_")):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """What asynchronous tests run on, as the product does."""
    return "asyncio"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A prepared home that the test has for itself."""
    return Home(str(tmp_path / "home")).prepare()


NOBODY = 65534
"""A user that owns nothing, on Linux and macOS alike."""


@pytest.fixture
def readable_by_its_owner_only() -> Iterator[Path]:
    """A folder in which permissions hold, even where the tests run as root: they are nobody meanwhile."""
    folder = Path(tempfile.mkdtemp(prefix="sagaflow-test-"))
    root = os.getuid() == 0
    try:
        if root:
            os.chown(folder, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        yield folder
    finally:
        if root:
            os.seteuid(0)
        subprocess.run(["chmod", "-R", "u+rwX", str(folder)], check=True)
        shutil.rmtree(folder)
