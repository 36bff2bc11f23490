"""`sagaflow hook`: our hooks put into Claude Code's settings, taken out again, and looked for."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from sagaflow_mcp import cli_output, cli_question, session_hook, settings

if TYPE_CHECKING:
    import argparse

    from sagaflow_mcp.session_hook import Standing


def hook_install(options: argparse.Namespace) -> int:
    """Put the hooks into the settings, unless the plugin brings them."""
    environ = settings.environment(os.environ)
    found = session_hook.standing(environ)
    if found.plugin or found.current:
        return _tell(options, found, f"nothing to do: {session_hook.finding(found).text}")
    _ask(
        f"{found.settings} gets hooks: sessions of Claude Code are then told in a few lines what has ended, when they "
        "start and with a prompt, and one in a terminal is woken by what it launched. Go ahead?",
        yes=options.yes,
    )
    changed = session_hook.install(environ)
    found = session_hook.standing(environ)
    return _tell(options, found, f"installed: {session_hook.finding(found).text}", changed=changed)


def hook_uninstall(options: argparse.Namespace) -> int:
    """Take the hooks out of the settings."""
    environ = settings.environment(os.environ)
    found = session_hook.standing(environ)
    if not found.scripts:
        return _tell(options, found, f"nothing to do: {found.settings} has no hooks of Sagaflow's")
    _ask(f"{found.settings} loses Sagaflow's hooks. Go ahead?", yes=options.yes)
    changed = session_hook.uninstall(environ)
    found = session_hook.standing(environ)
    plugin = f"; the plugin {found.plugin} still brings them" if found.plugin else ""
    return _tell(options, found, f"removed from {found.settings}{plugin}", changed=changed)


def hook_status(options: argparse.Namespace) -> int:
    """Say how the hooks stand; 1 when sessions are not told what has ended."""
    found = session_hook.standing(settings.environment(os.environ))
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
    if not yes:
        cli_question.refuse_without_terminal(
            "there is no terminal to ask whether Claude Code's settings may be changed; --yes says so"
        )
        cli_question.ask(question)
