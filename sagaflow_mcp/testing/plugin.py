"""The pytest plugin of Sagaflow: nothing is loaded before a fixture is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagaflow_mcp.testing.local import LocalSagaflow


@pytest.fixture
def sagaflow(request: pytest.FixtureRequest) -> Iterator[LocalSagaflow]:
    """A home, an engine and an offline model of the test's own; skills are found beside the test file as well."""
    # Imported here: pytest loads this plugin in every project of the environment.
    from sagaflow_mcp.testing.local import LocalSagaflow  # noqa: PLC0415

    with LocalSagaflow(skills=[request.path.parent]) as local:
        yield local
