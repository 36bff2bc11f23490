"""The embedded server's command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagaflow_mcp import temporal_server

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home

PORTS = temporal_server.Ports(20_000, 20_001, 20_002)


def test_time_passes_as_it_does_except_in_a_throw_away_home(home: Home) -> None:
    """Nobody else's runs can be told to skip theirs."""
    assert "--dynamic-config-value" not in temporal_server.command(["temporal"], home, PORTS)
    temporal_server.allow_time_skipping(home)
    assert "frontend.WorkflowTimeSkippingEnabled=true" in temporal_server.command(["temporal"], home, PORTS)
