"""The command's boundary: what its errors look like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagaflow_mcp import cli

if TYPE_CHECKING:
    import pytest


def test_a_state_that_no_run_has_is_a_slip_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and one sentence."""
    assert cli.main(["runs", "--status", "ready"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("sagaflow: status 'ready' is not one of OPEN, RUNNING, ")
