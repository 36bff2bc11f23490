"""The grammar of the `sagaflow` command."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
from typing import TYPE_CHECKING, Any, NoReturn

from sagaflow_mcp import __version__, cli_help
from sagaflow_mcp.cli_help import Parser
from sagaflow_mcp.errors import UsageRefusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MOST = 1_000_000_000
"""The largest count that can be asked for."""

LAUNCH_USAGE = """\
sagaflow launch SKILL [--param value ...] [--arg k=v ...] [--args-json J] [--allow TOOL] [--id ID] [--await] [--json]
       sagaflow launch --task TEXT [--allow TOOL] [--id ID] [--await] [--json]"""


SCHEDULE_USAGE = """\
sagaflow schedule add NAME SKILL --cron CRON [--timezone ZONE] [--catch-up SPAN] [--overlap HOW] [--param value ...]
                              [--arg k=v ...] [--args-json J] [--allow TOOL] [--json]"""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of one command line, its function in `command`.

    Raises:
        UsageRefusal: it is not a command line of `sagaflow`.
        SystemExit: help or the version was asked for, and has been printed.
    """
    parser = grammar()
    options, rest = parser.parse_known_args(cli_help.completed(parser, arguments))
    if options.name == "schedule" and options.part == "add":
        options.arguments = launch_arguments(rest, options.arg or [], options.args_json)
    elif options.name == "launch":
        if options.task is not None:
            _refuse_beside_task(options, rest)
            options.arguments = {"task": options.task}
        else:
            options.arguments = launch_arguments(rest, options.arg or [], options.args_json)
    elif rest:
        raise UsageRefusal(f"unknown argument {rest[0]!r}; see: {cli_help.reached(parser, arguments).prog} --help")
    return options


def _refuse_beside_task(options: argparse.Namespace, rest: Sequence[str]) -> None:
    """Return when nothing of a skill stands beside `--task`, nor a further word of the task; UsageRefusal otherwise."""
    given = {"--arg": options.arg, "--args-json": options.args_json is not None}
    flags = [each.partition("=")[0] for each in rest if each.startswith("-")] + [each for each in given if given[each]]
    if flags:
        raise UsageRefusal(
            f"{flags[0]} goes with a SKILL, and not with --task: write into TEXT all that is to be known"
        )
    words = [each for each in (options.skill, *rest) if each is not None]
    if words:
        raise UsageRefusal(
            f"{words[0]!r} stands after --task TEXT, which goes without a SKILL; put the whole task into quotes"
        )


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


def grammar() -> Parser:
    """The whole of it."""
    parser = Parser(
        prog="sagaflow",
        description="Durable agent workflows: they outlive the session, survive every crash and report to an inbox.",
        epilog="Try `sagaflow demo` first: it needs no key and leaves nothing behind.",
    )
    parser.add_argument("--version", action="version", version=f"sagaflow {__version__}")
    parser.set_defaults(as_json=False)
    commands = parser.group("name")
    _launch(commands)
    _reading(commands)
    _machinery(commands)
    _hook(commands)
    _help(commands)
    return parser


def _command(
    commands: Any, name: str, help_text: str, *, as_json: bool = True, module: str = "cli_commands", **more: Any
) -> Parser:
    """The command `name`, such as `engine status`, added to `commands`, those of its group; `module` carries it out."""
    command: Parser = commands.add_parser(
        name.rpartition(" ")[2],
        help=help_text,
        description=help_text[0].upper() + help_text[1:] + ".",
        allow_abbrev=False,
        **more,
    )
    if as_json:
        command.add_argument(
            "--json",
            action="store_true",
            dest="as_json",
            # The default is the whole grammar's: that of `config set` would go before what `config --json set` says.
            default=argparse.SUPPRESS,
            help="print JSON; its fields: sagaflow help json",
        )
    command.set_defaults(command=_lazily(name, module))
    return command


def _group(commands: Any, name: str, help_text: str) -> Any:
    """Where the commands of the group `name` are added."""
    return _command(commands, name, help_text, as_json=False).group("part")


def _lazily(name: str, module: str) -> Callable[[argparse.Namespace], int]:
    """The function of the command `name`, whose module is imported when it is called."""

    def run(options: argparse.Namespace) -> int:
        functions = importlib.import_module(f"sagaflow_mcp.{module}")  # Not at the top: --help need not pay for it.
        status: int = getattr(functions, name.replace(" ", "_").replace("-", "_"))(options)
        return status

    return run


def _launch(commands: Any) -> None:
    launch = _command(
        commands,
        "launch",
        "start a durable run of a skill, or of a task without one",
        usage=LAUNCH_USAGE,
        add_help=False,
    )
    launch.add_argument("-h", "--help", action=_Help, nargs=0, help="show this; after SKILL, what that takes")
    skill = launch.add_argument("skill", metavar="SKILL", help="its name; see: sagaflow skills list")
    launch.add_argument(
        "--task",
        action=_Task,
        skill=skill,
        metavar="TEXT",
        help="in place of SKILL: what an agent is to do that reads, searches and writes files in this folder",
    )
    launch.set_defaults(skill_gets_task=False)
    _add_arguments(launch)
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


def _add_arguments(command: Parser) -> None:
    """The ways to give a skill's arguments, beside its parameters as options."""
    command.add_argument(
        "--arg", action="append", metavar="K=V", help="an argument, also one named like an option here"
    )
    command.add_argument("--args-json", metavar="JSON", help="arguments as one JSON object")
    command.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="TOOL",
        help="a tool that the run's agents use without asking, such as bash; once for each",
    )


class _Task(argparse.Action):
    """A task in place of the skill; after a skill, that one's own argument, as `--arg task=TEXT` gives it."""

    def __init__(self, *, skill: argparse.Action, **more: Any) -> None:
        super().__init__(**more)
        self._skill = skill

    def __call__(
        self, _parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: object
    ) -> None:
        if namespace.skill is not None:
            namespace.skill_gets_task = True
            namespace.arg = [*(namespace.arg or []), f"task={values}"]
            return
        if namespace.task is not None:
            raise UsageRefusal("--task is given twice; put all that is to be done into one text")
        if not values.strip():
            raise UsageRefusal("--task is blank; say what is to be done: --task TEXT")
        namespace.task = values
        # Not from the start: before Python 3.12 a SKILL that may be missing is not found behind an option.
        self._skill.required = False


class _Help(argparse.Action):
    """Help for `launch` itself, or for the skill that stands before it."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *_: object) -> None:
        if name := getattr(namespace, "skill", None):
            from sagaflow_mcp import cli_launch  # noqa: PLC0415 - only this looks at a skill

            cli_launch.show_parameters(name)
        else:
            parser.print_help()
        parser.exit()


def _reading(commands: Any) -> None:
    inbox = _command(commands, "inbox", "show results that were not read yet")
    inbox.add_argument("--all", action="store_true", dest="everything", help="dismissed ones too")
    inbox.add_argument("--limit", type=_count, default=50, metavar="N", help="at most so many (default 50)")
    dismiss = _command(commands, "dismiss", "mark results as read")
    dismiss.add_argument("run_ids", nargs="*", metavar="RUN")
    dismiss.add_argument("--all", action="store_true", dest="everything", help="all of them")
    runs = _command(commands, "runs", "list runs, newest first")
    runs.add_argument("--skill", metavar="SKILL", help="only those of this skill")
    runs.add_argument(
        "--status",
        metavar="STATUS",
        help="only those in this state: OPEN, RUNNING, PAUSED, DONE, FAILED, CANCELLED, TIMED_OUT or TERMINATED",
    )
    runs.add_argument("--project", metavar="DIR", help="only those launched from this folder or one in it, such as .")
    runs.add_argument("--since", metavar="AGE", help="only those launched since then: 90s, 30m, 12h, 2d or 1w ago")
    runs.add_argument("--limit", type=_count, default=20, metavar="N", help="at most so many (default 20)")
    watch = _command(
        commands,
        "watch",
        "watch runs go on: open ones and those that ended last; q ends it",
        as_json=False,
        epilog="In a pipe it prints a line for each change, and ends when no run is open.",
    )
    watch.add_argument("run_ids", nargs="*", metavar="RUN", help="only these")
    watch.add_argument("--once", action="store_true", help="print a line for each as it is now, and end")
    show = _command(commands, "show", "show one run: state, steps, report")
    show.add_argument("run_id", metavar="RUN")
    show.add_argument(
        "--lines", type=_count, default=20, metavar="N", help="of the ends of transcript and log (default 20)"
    )
    show.add_argument(
        "--html",
        nargs="?",
        const="",
        metavar="FILE",
        help="write a page with the timeline of its steps instead: RUN.html in this folder, or FILE, or - to print it",
    )
    show.add_argument("--force", action="store_true", help="replace the file if it is there")
    answer = _command(commands, "answer", "answer a question that a run asks", module="cli_answer")
    answer.add_argument("run_id", metavar="RUN")
    answer.add_argument(
        "answer",
        nargs="?",
        metavar="ANSWER",
        help="one of its options, or any text where it has none; leave it out where a permission is asked for",
    )
    answer.add_argument(
        "--question", metavar="ID", default="", help="which, where it asks several; see: sagaflow show RUN"
    )
    tell = _command(commands, "tell", "tell the agents of a run something while they work", module="cli_tell")
    tell.add_argument("run_id", metavar="RUN")
    tell.add_argument("message", metavar="MESSAGE", help="each hears it with its next turn")
    _steering(commands)
    _skills(commands)


def _steering(commands: Any) -> None:
    module = "cli_control"
    pause = _command(
        commands,
        "pause",
        "hold up a run: what is in flight ends, and no step begins until it is resumed",
        module=module,
    )
    resume = _command(commands, "resume", "let a run go on that was paused", module=module)
    cancel = _command(commands, "cancel", "end a run: what it does stops, and it cleans up", module=module)
    retry = _command(
        commands, "retry", "let a run that failed go on from there; what is finished is not done again", module=module
    )
    for each in (pause, resume, cancel, retry):
        each.add_argument("run_id", metavar="RUN")
    cancel.add_argument("--force", action="store_true", help="at once, without cleaning up")
    retry.add_argument(
        "--with-current",
        action="store_true",
        help="as a new run, with the skill as it is now; steps that are asked the same are not done again",
    )


def _skills(commands: Any) -> None:
    skills = _group(commands, "skills", "list what can be launched, make, check or test it, or trust a project's")
    _command(skills, "skills list", "list skills: where from, form, version, description, or why broken")
    new = _command(
        skills,
        "skills new",
        "make a skill that works at once, with prompts and a test case, to go on from",
        module="cli_skill_new",
    )
    new.add_argument("skill", metavar="NAME", help="what it is to be launched as, such as release-notes")
    new.add_argument(
        "--form",
        choices=("1", "2", "3"),
        default="2",
        help="1: a SKILL.md that an agent carries out, 2: one function (default), 3: a Temporal workflow",
    )
    new.add_argument(
        "--into",
        metavar="DIR",
        help="the folder to put it into (default: ~/.claude/skills, or that in CLAUDE_CONFIG_DIR)",
    )
    check = _command(skills, "skills check", "load skills and look for what a replay would not do the same")
    check.add_argument("skill", nargs="?", metavar="SKILL", help="its name; all that have code without one")
    trust = _command(
        skills,
        "skills trust",
        "let the skills that a project brings along be shown and run, as they are now; asks in the terminal",
        as_json=False,
        module="cli_trust",
        epilog="A project's skills lie in its .claude/skills. Their code runs as you, so look at it first. One that is "
        "changed or added afterwards has to be trusted again.",
    )
    trust.add_argument("folder", nargs="?", metavar="DIR", help="the project, or a folder in it (default: this one)")
    trust.add_argument("--remove", action="store_true", help="trust none of its skills any more")
    test = _command(
        skills,
        "skills test",
        "run the test cases of skills, the files in their tests folders, offline and in a throw-away home",
        module="cli_skill_test",
    )
    test.add_argument("skills", nargs="+", metavar="SKILL", help="its name, or the path to its folder")
    test.add_argument(
        "--crash",
        action="store_true",
        help="also kill the worker at every step boundary and inside workflow tasks, in turn, and compare",
    )


def _machinery(commands: Any) -> None:
    doctor = _command(commands, "doctor", "check every part, with the cure for what is wrong")
    doctor.add_argument(
        "--fix", action="store_true", help="first carry out the cures that lose nothing, and say which those were"
    )
    _config(commands)
    engine = _group(commands, "engine", "look at the engine or stop it")
    _command(engine, "engine status", "show the engine and its parts")
    _command(engine, "engine stop", "stop it; open runs go on at the next start")
    logs = _command(engine, "engine logs", "show the ends of the logs")
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
    _schedule(commands)
    _service(commands)
    gc = _command(
        commands, "gc", "remove what is kept no longer: old runs that were read, and leftovers", module="cli_gc"
    )
    gc.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    gc.add_argument(
        "--older-than",
        metavar="AGE",
        help="ended runs of more than this age, such as 90d (default: keep.runs_days, 180 days)",
    )
    _command(commands, "demo", "see a run survive kill -9, in a throw-away home, with no key", as_json=False)


def _config(commands: Any) -> None:
    module = "cli_config"
    config = _command(commands, "config", "show every setting and where it comes from, or change one", module=module)
    parts = config.group("part", required=False)
    shown = _command(parts, "config get", "show one setting", module=module)
    changed = _command(parts, "config set", "write one setting into config.toml", module=module)
    removed = _command(parts, "config unset", "take one setting out of config.toml", module=module)
    for each in (shown, changed, removed):
        each.add_argument("setting", metavar="NAME", help="such as models.base_url; see: sagaflow config")
    changed.add_argument("value", metavar="VALUE")


def _schedule(commands: Any) -> None:
    module = "cli_schedule"
    group = _group(commands, "schedule", "have a skill launched at its times, whoever is there")
    add = _command(
        group,
        "schedule add",
        "launch a skill at its times from now on",
        module=module,
        usage=SCHEDULE_USAGE,
        epilog="Each run gets the version of the skill that there is at its time. What was missed or skipped, or could "
        "not be launched, is told in the inbox.",
    )
    add.add_argument("schedule", metavar="NAME", help="what the schedule is called; its runs' ids begin with it")
    add.add_argument("skill", metavar="SKILL", help="what is launched; see: sagaflow skills list")
    add.add_argument("--cron", required=True, metavar="CRON", help="when, such as '0 7 * * 1-5' or '@every 2h'")
    add.add_argument("--timezone", default="UTC", metavar="ZONE", help="in which time zone (default UTC)")
    add.add_argument(
        "--catch-up", default="1h", metavar="SPAN", help="how late it may still be launched, such as 30m (default 1h)"
    )
    add.add_argument(
        "--overlap",
        choices=("skip", "buffer", "allow", "cancel"),
        default="skip",
        metavar="HOW",
        help="while its last run is open: skip (default), buffer: one waits, allow: both, cancel: the old one",
    )
    _add_arguments(add)
    _command(group, "schedule list", "list the schedules", module=module)
    for name, help_text in (
        ("show", "show one: when it is due next, and its open runs"),
        ("pause", "launch nothing until it is resumed"),
        ("resume", "launch again, from now on"),
        ("remove", "end it; its runs go on"),
        ("run-now", "launch what it launches, now"),
    ):
        command = _command(group, f"schedule {name}", help_text, module=module)
        command.add_argument("schedule", metavar="NAME")


def _service(commands: Any) -> None:
    module = "cli_service"
    service = _group(commands, "service", "have systemd or launchd run the engine, so that runs go on without a login")
    install = _command(service, "service install", "have the system run the engine from now on", module=module)
    install.add_argument("--print", action="store_true", dest="print_only", help="only show the file for the system")
    _command(service, "service uninstall", "have the system run it no more", module=module)
    _command(service, "service status", "show whether the system runs it", module=module)


def _hook(commands: Any) -> None:
    hook = _group(commands, "hook", "tell Claude Code's sessions what has ended, without the plugin")
    for name, help_text in (
        ("install", "put the hooks into Claude Code's settings"),
        ("uninstall", "take them out"),
    ):
        command = _command(hook, f"hook {name}", help_text, module="cli_hook")
        command.add_argument("--yes", action="store_true", help="do not ask")
    _command(hook, "hook status", "show whether sessions are told", module="cli_hook")


def _help(commands: Any) -> None:
    shell = _command(
        commands,
        "completion",
        "print the script that completes commands, skills and runs with Tab",
        as_json=False,
        module="cli_completion",
        epilog='In ~/.bashrc or ~/.zshrc: eval "$(sagaflow completion bash)", with the shell\'s name; in config.fish: '
        "sagaflow completion fish | source",
    )
    shell.add_argument("shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="bash, zsh or fish")
    about = _command(commands, "help", "show what a command does", as_json=False, module="cli_help")
    about.add_argument("topic", nargs="*", metavar="COMMAND", help="a command, or json: the fields that --json prints")


def _count(text: str) -> int:
    with contextlib.suppress(ValueError):  # Also of more digits than Python takes.
        if text.isdigit() and 1 <= int(text) <= MOST:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text[:60]!r} is not a whole number from 1 to {MOST:,}")
