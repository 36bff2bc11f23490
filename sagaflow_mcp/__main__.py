"""`python -m sagaflow_mcp`: the `sagaflow` command."""

from sagaflow_mcp.cli import entry

entry()
