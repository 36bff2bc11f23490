"""The grammar of the `sagaflow` command."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any, NoReturn

from sagaflow_mcp import __version__
from sagaflow_mcp.errors import UsageRefusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LAUNCH_USAGE = "sagaflow launch SKILL [--param value ...] [--arg k=v ...] [--args-json J] [--id ID] [--await] [--json]"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageRefusal(f"{message}; see: {self.prog} --help")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of one command line, its function in `command`.

    Raises:
        UsageRefusal: it is not a command line of `sagaflow`.
        SystemExit: help or the version was asked for, and has been printed.
    """
    options, rest = _parser().parse_known_args(arguments)
    if options.name == "launch":
        options.arguments = launch_arguments(rest, options.arg or [], options.args_json)
    elif rest:
        raise UsageRefusal(f"unknown argument {rest[0]!r}; see: sagaflow {options.name} --help")
    return options


def launch_arguments(rest: Sequence[str], pairs: Sequence[str], text: str | None) -> dict[str, Any]:
    """The skill's arguments from `--param value` words, `--arg k=v` pairs and `--args-json`.

    Raises:
        UsageRefusal: a word is no parameter, a pair has no `=`, the JSON is not an object, or a name is given twice.
    """
    found = _json_object(text) if text else {}
    for name, value in [*_flags(list(rest)), *(_pair(pair) for pair in pairs)]:
        if name in found:
            raise UsageRefusal(f"argument {name!r} is given twice")
        found[name] = value
    return found


def _flags(words: list[str]) -> list[tuple[str, str]]:
    found = []
    while words:
        word = words.pop(0)
        if not word.startswith("--") or word == "--":
            raise UsageRefusal(f"{word!r} is not an option; a skill's parameter is given as --name value")
        name, equals, value = word[2:].partition("=")
        if not equals:
            if not words or words[0].startswith("--"):
                raise UsageRefusal(f"{word} needs a value: {word} VALUE, or {word}=VALUE when it begins with --")
            value = words.pop(0)
        found.append((name.replace("-", "_"), value))
    return found


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageRefusal(f"--arg {text!r} is not of the form name=value")
    return name, value


def _json_object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise UsageRefusal(f"--args-json is not JSON: {error}") from None
    except RecursionError:
        raise UsageRefusal("--args-json is nested too deeply") from None
    if not isinstance(found, dict):
        raise UsageRefusal(f"--args-json is {text[:60]!r}, but must be a JSON object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="sagaflow",
        description="Durable agent workflows: they outlive the session, survive every crash and report to an inbox.",
        epilog="Try `sagaflow demo` first: it needs no key and leaves nothing behind.",
    )
    parser.add_argument("--version", action="version", version=f"sagaflow {__version__}")
    commands = parser.add_subparsers(dest="name", metavar="COMMAND", required=True, parser_class=_Parser)
    _launch(commands)
    _reading(commands)
    _machinery(commands)
    return parser


def _command(commands: Any, name: str, help_text: str, *, as_json: bool = True, **more: Any) -> argparse.ArgumentParser:
    """The command `name`, such as `engine status`, added to `commands`, those of its group."""
    command: argparse.ArgumentParser = commands.add_parser(
        name.rpartition(" ")[2],
        help=help_text,
        description=help_text[0].upper() + help_text[1:] + ".",
        allow_abbrev=False,
        **more,
    )
    if as_json:
        command.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
    command.set_defaults(command=_lazily(name))
    return command


def _group(commands: Any, name: str, help_text: str) -> Any:
    """Where the commands of the group `name` are added."""
    group = _command(commands, name, help_text, as_json=False)
    return group.add_subparsers(dest="part", metavar="COMMAND", required=True, parser_class=_Parser)


def _lazily(name: str) -> Callable[[argparse.Namespace], int]:
    """The function of the command `name`, whose module is imported when it is called."""

    def run(options: argparse.Namespace) -> int:
        from sagaflow_mcp import cli_commands  # noqa: PLC0415 - --help need not pay for it

        status: int = getattr(cli_commands, name.replace(" ", "_"))(options)
        return status

    return run


def _launch(commands: Any) -> None:
    launch = _command(commands, "launch", "start a durable run of a skill", usage=LAUNCH_USAGE)
    launch.add_argument("skill", metavar="SKILL", help="its name; see: sagaflow skills list")
    launch.add_argument("--arg", action="append", metavar="K=V", help="an argument, also one named like an option here")
    launch.add_argument("--args-json", metavar="JSON", help="arguments as one JSON object")
    launch.add_argument("--id", metavar="ID", dest="run_id", help="own run id: launching it again attaches to the run")
    launch.add_argument(
        "--await",
        action="store_true",
        dest="wait",
        help="wait for the ending; the result is the last thing on standard output",
    )
    launch.add_argument(
        "--execution-timeout", type=float, metavar="SECONDS", help="longest time the run may take in all"
    )


def _reading(commands: Any) -> None:
    inbox = _command(commands, "inbox", "show results that were not read yet")
    inbox.add_argument("--all", action="store_true", dest="everything", help="dismissed ones too")
    inbox.add_argument("--limit", type=_count, default=50, metavar="N", help="at most so many (default 50)")
    dismiss = _command(commands, "dismiss", "mark results as read")
    dismiss.add_argument("run_ids", nargs="*", metavar="RUN")
    dismiss.add_argument("--all", action="store_true", dest="everything", help="all of them")
    runs = _command(commands, "runs", "list runs, newest first")
    runs.add_argument("--status", metavar="STATUS", help="RUNNING, DONE, FAILED, CANCELLED, TIMED_OUT or TERMINATED")
    runs.add_argument("--limit", type=_count, default=20, metavar="N", help="at most so many (default 20)")
    show = _command(commands, "show", "show one run: state, steps, report")
    show.add_argument("run_id", metavar="RUN")
    skills = _group(commands, "skills", "list what can be launched")
    _command(skills, "skills list", "list skills: where from, description, or why broken")


def _machinery(commands: Any) -> None:
    _command(commands, "doctor", "check every part, with the cure for what is wrong")
    engine = _group(commands, "engine", "look at the engine or stop it")
    _command(engine, "engine status", "show the engine and its parts")
    _command(engine, "engine stop", "stop it; open runs go on at the next start")
    logs = _command(engine, "engine logs", "show the ends of the logs", as_json=False)
    logs.add_argument("--lines", type=_count, default=20, metavar="N", help="of each log (default 20)")
    worker = _group(commands, "worker", "look at the worker, or keep one running in this terminal")
    _command(worker, "worker status", "show the worker")
    run = _command(
        worker, "worker run", "keep the engine and its worker up until ^C, showing the worker's log", as_json=False
    )
    run.add_argument(
        "--join",
        action="store_true",
        help="instead take work of the home that this one was made from, on another machine; the Temporal server is "
        "that of [temporal] in config.toml",
    )
    _command(commands, "demo", "see a run survive kill -9, in a throw-away home, with no key", as_json=False)


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)
