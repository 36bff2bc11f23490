"""`sagaflow tell`: what a person tells the agents of a run while they work."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import anyio

from sagaflow_mcp import cli_output, telling
from sagaflow_mcp.settings import Settings

if TYPE_CHECKING:
    import argparse


def tell(options: argparse.Namespace) -> int:
    """Bring the message to the run."""
    anyio.run(telling.tell, Settings.of_user(os.environ), options.run_id, options.message)
    if options.as_json:
        return cli_output.print_json({"run_id": options.run_id})
    print("told; its agents hear it with their next turn")
    return 0
