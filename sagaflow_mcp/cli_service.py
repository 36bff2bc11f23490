"""`sagaflow service`: the engine under systemd or launchd, so that runs go on with nobody logged in."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from sagaflow_mcp import cli_output, model_access, system_service
from sagaflow_mcp.settings import Settings

if TYPE_CHECKING:
    import argparse


def service_install(options: argparse.Namespace) -> int:
    """Have the system run the engine, or print the file by which it would."""
    settings = Settings.of_user(os.environ)
    if options.print_only:
        print(system_service.shown(settings), end="")
        return 0
    return _tell(options, settings, [*system_service.install(settings), *_advice(settings)])


def service_uninstall(options: argparse.Namespace) -> int:
    """Have the system run it no more."""
    settings = Settings.of_user(os.environ)
    return _tell(options, settings, system_service.uninstall(settings))


def service_status(options: argparse.Namespace) -> int:
    """Say how the service stands; 1 when the system does not run the engine."""
    settings = Settings.of_user(os.environ)
    found = system_service.standing(settings)
    active = found.installed and system_service.is_active(settings)
    _tell(options, settings, [sentence(found, active=active)])
    return 0 if active else 1


def sentence(found: system_service.Standing, *, active: bool) -> str:
    """How the service stands, for people."""
    if not found.installed:
        return f"not installed: there is no {found.file}; see: sagaflow service install --print"
    if found.python_gone:
        return f"{found.file} runs {found.python or 'nothing'}, which is gone; renew it: sagaflow service install"
    state = "runs" if active else "is installed, but does not run"
    old = "" if found.current else "; it was written by another installation, renew it: sagaflow service install"
    return f"{found.name} {state} ({found.file}){old}"


def _advice(settings: Settings) -> list[str]:
    """What to do so that runs find a model where nobody is there to bring a key."""
    if model_access.needs_nobody(settings):
        return []
    sentence = (
        "no key is written to the disk: runs that were launched before a restart of the machine wait for the next "
        "launch with one, unless models.api_key_helper in config.toml names a command that prints it"
    )
    return [sentence]


def _tell(options: argparse.Namespace, settings: Settings, said: list[str]) -> int:
    if options.as_json:
        found = system_service.standing(settings)
        active = found.installed and system_service.is_active(settings)
        return cli_output.print_json({**asdict(found), "active": active, "said": said})
    screen = cli_output.screen()
    for each in said:
        screen.show(each)
    sys.stdout.flush()
    return 0
