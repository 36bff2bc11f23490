"""What a command prints on standard output: for people, or as JSON."""

from __future__ import annotations

import json
import os
import sys

from sagaflow_mcp import terminal


def screen() -> terminal.Screen:
    """Standard output, as whoever reads it can see it."""
    return terminal.Screen(sys.stdout, os.environ)


def print_json(value: object, indent: int | None = 2) -> int:
    """Print `value`, with paths and the like as text; the exit status 0."""
    print(json.dumps(value, indent=indent, default=str))
    return 0
