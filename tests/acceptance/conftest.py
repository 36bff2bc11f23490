"""What the acceptance tests share: a Sagaflow, the real Claude Code and the real MCP Inspector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp.testing import LocalSagaflow
from tests.acceptance import tools

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def claude() -> Path:
    """The folder of the `claude` command."""
    return tools.npm_package(tools.CLAUDE_CODE) / "node_modules" / ".bin"


OLDER = pytest.param(tools.OLDER_CLAUDE_CODE, marks=pytest.mark.long, id=tools.OLDER_CLAUDE_CODE[1])


@pytest.fixture(scope="module", params=[pytest.param(tools.CLAUDE_CODE, id=tools.CLAUDE_CODE[1]), OLDER])
def each_claude(request: pytest.FixtureRequest) -> Path:
    """The same, of each generation: for what Claude Code does with the plugin, which is not the same in both.

    With the older one it is mostly tried again; what the generations do otherwise is asked for by name.
    """
    return tools.npm_package(request.param) / "node_modules" / ".bin"


@pytest.fixture(scope="session")
def inspector() -> Path:
    """The folder in which npm has installed the MCP Inspector."""
    return tools.npm_package(tools.INSPECTOR)


@pytest.fixture(scope="module")
def local() -> Iterator[LocalSagaflow]:
    """One Sagaflow for all tests of a file."""
    with LocalSagaflow() as started:
        yield started
