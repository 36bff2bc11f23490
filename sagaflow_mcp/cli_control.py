"""`sagaflow cancel`, `pause`, `resume` and `retry`: what a person has a run do, from any shell."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import anyio

from sagaflow_mcp import cli_output, faces, retrying, steering, wording
from sagaflow_mcp.settings import Settings

if TYPE_CHECKING:
    import argparse


def cancel(options: argparse.Namespace) -> int:
    """End a run, and say how it ended, or that it is still cleaning up."""
    settings = Settings.of_user(os.environ)
    found = anyio.run(lambda: steering.cancel(settings, options.run_id, force=options.force))
    if options.as_json:
        return cli_output.print_json({"run_id": found.run.run_id, "state": found.run.state})
    force = f"sagaflow cancel --force {options.run_id}"
    cli_output.screen().show(wording.cancelled(found, f"`{force}` ends it at once"))
    return 0


def pause(options: argparse.Namespace) -> int:
    """Hold up a run."""
    anyio.run(steering.pause, Settings.of_user(os.environ), options.run_id)
    if options.as_json:
        return cli_output.print_json({"run_id": options.run_id, "state": "PAUSED"})
    print(f"paused; what is in flight ends, and nothing begins until: sagaflow resume {options.run_id}")
    return 0


def resume(options: argparse.Namespace) -> int:
    """Let a run go on that was paused."""
    anyio.run(steering.resume, Settings.of_user(os.environ), options.run_id)
    if options.as_json:
        return cli_output.print_json({"run_id": options.run_id, "state": "RUNNING"})
    print(f"it goes on: sagaflow show {options.run_id}")
    return 0


def retry(options: argparse.Namespace) -> int:
    """Take up a run again that has not ended well, or have a new one do so."""
    settings = Settings.of_user(os.environ)
    if not options.with_current:
        anyio.run(lambda: retrying.retry(settings, options.run_id, face=faces.CLI))
        new = options.run_id
    else:
        new = anyio.run(lambda: retrying.with_current(settings, options.run_id, face=faces.CLI)).run_id
    if options.as_json:
        return cli_output.print_json({"run_id": new, "parent": options.run_id if new != options.run_id else ""})
    what = "it goes on from where it failed" if new == options.run_id else f"{new} goes on from what it has done"
    print(f"{what}; its ending will be in the inbox: sagaflow show {new}")
    return 0
