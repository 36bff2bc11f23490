"""Completion in shells: the script that switches it on, and the words that it asks for at each press of Tab."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import zoneinfo
from typing import TYPE_CHECKING, Any

from argcomplete.completers import FilesCompleter, SuppressCompleter
from argcomplete.finders import CompletionFinder
from argcomplete.lexers import split_line
from argcomplete.shell_integration import shellcode

from sagaflow_mcp import catalog, cli_help, faces, inbox, probe, records, run_filter, runs, schedule_files, settings
from sagaflow_mcp.errors import SagaflowError
from sagaflow_mcp.paths import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sagaflow_mcp.cli_help import Parser

    Words = Callable[..., dict[str, str]]
    """Words that may stand in a place, each with what it means."""

NAME = "sagaflow"
"""The command that is completed, as it is typed."""

MOST_RUNS = 50
"""More runs than this, the newest, are not offered."""

ABOUT_LIMIT = 60
"""The longest explanation beside a word, in characters."""


def completion(options: argparse.Namespace) -> int:
    """Print the script for the user's shell."""
    # Without readline's own completion: nothing here is a file, unless it says so.
    print(shellcode([NAME], shell=options.shell, complete_arguments=["-o", "nospace"]))
    return 0


def answer(parser: Parser) -> None:
    """Tell the shell that asks, by way of the environment, which words may stand where its cursor is; never returns."""
    line, point = os.environ.get("COMP_LINE", ""), os.environ.get("COMP_POINT", "")
    _, _, _, words, _ = split_line(line, int(point) if point.isdigit() else None)
    command = cli_help.reached(parser, words[1:])
    if command.prog == f"{NAME} launch":
        has_all = _add_parameters(command, words[2:])
    elif command.prog == f"{NAME} schedule add":
        has_all = _add_parameters(command, words[4:])
    else:
        has_all = all(action.option_strings for action in _actions(command))
    for each in _all(parser):
        for action in _actions(each):
            is_hidden = action.help == argparse.SUPPRESS
            found = _whatever_happens(dict) if is_hidden else _completer(each.prog, action)
            action.completer = found  # type: ignore[attr-defined] # Where argcomplete looks.
    CompletionFinder()(
        parser,
        # Options are offered without being asked for where nothing else can come.
        always_complete_options="long" if has_all else False,
        default_completer=SuppressCompleter(),
    )


def _completer(command: str, action: argparse.Action) -> object:
    """What offers words for one argument; None where its grammar says what it can be."""
    if action.choices is not None:
        return None
    if words := _words(command, str(action.metavar)):
        return _whatever_happens(words)
    if action.metavar in {"DIR", "FILE", "PATH"}:
        return FilesCompleter()
    return getattr(action, "completer", None)


def _words(command: str, metavar: str) -> Words | None:
    """What finds the words that may stand for `metavar` in `command`; None where nothing does."""
    if metavar == "RUN":
        return _unread if command == f"{NAME} dismiss" else _runs
    if command == f"{NAME} skills check" and metavar == "SKILL":
        return _checkable
    if metavar == "NAME" and command.startswith(f"{NAME} schedule ") and not command.endswith(" add"):
        return _schedules
    return _BY_METAVAR.get(metavar)


def _whatever_happens(words: Words) -> Words:
    """`words`, or none where they cannot be found out: there is nobody to tell."""

    def found(**_: object) -> dict[str, str]:
        with contextlib.suppress(OSError, SagaflowError):
            return {word: records.one_line(about, ABOUT_LIMIT) for word, about in words().items()}
        return {}

    return found


def _home() -> Home:
    return Home.from_environment(_environ())


def _environ() -> dict[str, str]:
    return settings.environment(os.environ)


def _runs() -> dict[str, str]:
    found = runs.listing(_home(), limit=MOST_RUNS)
    return {run.run_id: f"{run.state} {run.summary}" for run in found if records.is_run_id(run.run_id)}


def _unread() -> dict[str, str]:
    return {entry.run_id: f"{entry.status} {entry.summary}" for entry in reversed(inbox.unread(_home(), MOST_RUNS))}


def _skills() -> dict[str, str]:
    return {each.name: each.description for each in catalog.listing(_roots()) if each.launchable}


def _roots() -> tuple[catalog.Root, ...]:
    return catalog.roots(_environ(), faces.CLI.folder(os.environ))


def _checkable() -> dict[str, str]:
    found = catalog.listing(_roots())
    return {each.name: each.problem or each.description for each in found if each.form != "agent"}


def _states() -> dict[str, str]:
    return dict.fromkeys([run_filter.ANY_OPEN, *run_filter.STATES], "")


def _schedules() -> dict[str, str]:
    return {each.name: f"{each.skill} at {each.cron}" for each in schedule_files.listing(_home())}


def _zones() -> dict[str, str]:
    return dict.fromkeys(sorted(zoneinfo.available_timezones()), "")


_BY_METAVAR: dict[str, Words] = {"SKILL": _skills, "STATUS": _states, "ZONE": _zones}


def _add_parameters(launch: Parser, words: Sequence[str]) -> bool:
    """Whether `words` name a skill, or give a task in its place.

    The skill's parameters are options of `launch` then, where they are known: from its first launch or check on.
    """
    with contextlib.suppress(OSError, SagaflowError):
        known = _skills()
        name = next((word for word in words if word in known or word.partition("=")[0] == "--task"), "")
        if name not in known:
            if name:
                _hide(launch, "skill", "task", "arg", "args_json")
            return bool(name)
        source = catalog.find(name, _roots())
        found = probe.known(_home(), source)
        schema = found and found.arguments
        properties = (schema or {}).get("properties", {})
        if schema is not None and "task" not in properties:
            _hide(launch, "task")
        for parameter, about in properties.items():
            _add_parameter(launch, parameter, about if isinstance(about, dict) else {})
        return True
    return False


def _hide(launch: Parser, *names: str) -> None:
    """Offer nothing for the arguments of these names: they cannot come any more."""
    for action in _actions(launch):
        if action.dest in names:
            action.help = argparse.SUPPRESS


def _add_parameter(launch: Parser, name: str, about: dict[str, Any]) -> None:
    option = "--" + name.replace("_", "-")
    # One that has the name of an option of launch is given in another way.
    with contextlib.suppress(argparse.ArgumentError):
        help_text = records.one_line(str(about.get("description", "")), ABOUT_LIMIT)
        action = launch.add_argument(option, help=help_text.replace("%", "%%"))
        values = about.get("enum", [True, False] if about.get("type") == "boolean" else [])
        words = {each if isinstance(each, str) else json.dumps(each): "" for each in values}
        action.completer = _whatever_happens(lambda: words)  # type: ignore[attr-defined] # As above.


def _all(parser: Parser) -> list[Parser]:
    return [parser, *(each for inner in parser.commands.values() for each in _all(inner))]


def _actions(parser: Parser) -> list[argparse.Action]:
    return parser._actions  # noqa: SLF001 - argparse has no other way to look at a grammar
