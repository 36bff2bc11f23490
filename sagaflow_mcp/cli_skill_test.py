"""`sagaflow skills test`: what tells an author whether a skill is right and survives crashes."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import catalog, cli_output, faces, settings
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.registry import NAME, NAME_RULE
from sagaflow_mcp.testing import cases, verdicts

if TYPE_CHECKING:
    import argparse

    from sagaflow_mcp.testing.verdicts import Verdict


def skills_test(options: argparse.Namespace) -> int:
    """Run the test cases of skills; 1 when one fails."""
    folders = dict.fromkeys(map(_folder, options.skills))
    found: list[Verdict] = []
    screen = cli_output.screen()

    def tell(verdict: Verdict) -> None:
        found.append(verdict)
        if not options.as_json:
            for line in _lines(verdict, crash=options.crash, of_several=len(folders) > 1):
                screen.show(line)

    try:
        verdicts.judge({folder: cases.found(folder) for folder in folders}, tell, crash=options.crash)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("interrupted; the throw-away homes and all that ran in them are gone") from None
    if options.as_json:
        cli_output.print_json([{**asdict(each), "passed": each.passed} for each in found])
    return 0 if all(each.passed for each in found) else 1


def _folder(given: str) -> Path:
    """The folder of the skill that `given` names: by a path, or by its name where it has no slash."""
    if os.sep not in given and given not in {os.curdir, os.pardir}:
        return catalog.find(given, catalog.roots(settings.environment(os.environ), faces.CLI.folder(os.environ))).path
    folder = Path(given).expanduser().resolve()
    if not folder.is_dir():
        raise Refusal(f"{given!r} is not a folder; give a skill's folder, or its name")
    if not NAME.match(folder.name):
        raise Refusal(f"the folder's name {folder.name!r} is not a skill's name: {NAME_RULE}")
    return folder


def _lines(verdict: Verdict, *, crash: bool, of_several: bool) -> list[str]:
    case = f"{verdict.skill}/{verdict.case}" if of_several else verdict.case
    kills = f", also with the worker killed at {verdict.kills} points in turn" if crash else ""
    if verdict.passed:
        return [f"ok    {case}: {verdict.state}, {verdict.result}{kills}"]
    lines = [f"FAIL  {case}"]
    killed = None
    for each in verdict.differences:
        if each.killed != killed:
            killed = each.killed
            if killed:
                lines.append(f"      worker killed {killed}")
        lines += [
            f"        {each.what}: expected {each.expected}",
            f"        {' ' * len(each.what)}  came     {each.came}",
        ]
    return lines
