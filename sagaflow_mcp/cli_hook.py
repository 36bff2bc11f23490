"""`sagaflow hook`: the SessionStart hook put into Claude Code's settings, taken out again, and looked for."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from sagaflow_mcp import cli_output, session_hook, terminal
from sagaflow_mcp.errors import Failure, Refusal

if TYPE_CHECKING:
    import argparse

    from sagaflow_mcp.session_hook import Standing


def hook_install(options: argparse.Namespace) -> int:
    """Put the hook into the settings, unless the plugin brings it."""
    found = session_hook.standing(os.environ)
    if found.plugin or session_hook.is_current(found):
        return _tell(options, found, f"nothing to do: {session_hook.finding(found).text}")
    _ask(
        f"{found.settings} gets a SessionStart hook: each session of Claude Code then begins with a few lines about "
        "what has ended since the last one. Go ahead?",
        yes=options.yes,
    )
    changed = session_hook.install(os.environ)
    found = session_hook.standing(os.environ)
    return _tell(options, found, f"installed: {session_hook.finding(found).text}", changed=changed)


def hook_uninstall(options: argparse.Namespace) -> int:
    """Take the hook out of the settings."""
    found = session_hook.standing(os.environ)
    if not found.scripts:
        return _tell(options, found, f"nothing to do: {found.settings} has no hook of Sagaflow's")
    _ask(f"{found.settings} loses Sagaflow's SessionStart hook. Go ahead?", yes=options.yes)
    changed = session_hook.uninstall(os.environ)
    found = session_hook.standing(os.environ)
    plugin = f"; the plugin {found.plugin} still brings it" if found.plugin else ""
    return _tell(options, found, f"removed from {found.settings}{plugin}", changed=changed)


def hook_status(options: argparse.Namespace) -> int:
    """Say how the hook stands; 1 when sessions are not told what has ended."""
    found = session_hook.standing(os.environ)
    said = session_hook.finding(found)
    _tell(options, found, f"{said.text}; {said.cure}" if said.cure else said.text)
    return 0 if found.tells else 1


def _tell(options: argparse.Namespace, found: Standing, sentence: str, *, changed: bool = False) -> int:
    if options.as_json:
        cli_output.print_json({**asdict(found), "tells": found.tells, "changed": changed})
    else:
        cli_output.screen().show(sentence)
    return 0


def _ask(question: str, *, yes: bool) -> None:
    """Return when the user agrees.

    Raises:
        Refusal: there is nobody to ask.
        Failure: the user does not agree.
    """
    if yes:
        return
    if not (terminal.is_terminal(sys.stdin) and terminal.is_terminal(sys.stderr)):
        raise Refusal("there is no terminal to ask whether Claude Code's settings may be changed; --yes says so")
    try:
        # On standard error: standard output is for what the command has to say, which may be JSON.
        terminal.Screen(sys.stderr, os.environ).show(f"{question} [y/N]", end=" ")
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        raise KeyboardInterrupt("nothing was changed") from None
    if answer.strip().lower() not in {"y", "yes"}:
        raise Failure("nothing was changed")
