"""`sagaflow skills check`: whether skills are right, and where they are not."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from sagaflow_mcp import catalog, checking, cli_output, faces, wording

if TYPE_CHECKING:
    import argparse

    from sagaflow_mcp.settings import Settings


def check(options: argparse.Namespace, settings: Settings) -> int:
    """Print what is wrong with skills; 1 when one cannot run as it is."""
    roots = catalog.roots(settings.environ, faces.CLI.folder(os.environ))
    found = checking.check(settings.home, roots, options.skill)
    status = 0 if all(each.is_right for each in found) else 1
    if options.as_json:
        cli_output.print_json([{**asdict(each), "findings": [f._asdict() for f in each.findings]} for each in found])
        return status
    screen = cli_output.screen()
    for each in found:
        screen.show(wording.checked(each, screen.paint))
        for finding in each.findings:
            screen.show(wording.finding(finding, screen.paint))
    return status
