"""What the tests on a whole Sagaflow share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp.testing import LocalSagaflow

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def local() -> Iterator[LocalSagaflow]:
    """A Sagaflow with the skills of `tests/integration/skills`, for all tests of a module."""
    with LocalSagaflow(skills=[Path(__file__).parent / "skills"]) as started:
        yield started
