"""What the settings of a project would have Sagaflow do, and whether the user has allowed it.

A repository can carry `.claude/settings.json` with an `env` block. Claude Code puts it into the environment of the
session, and so of our hooks, MCP server and commands, over what the user's own shell and settings say. A variable that
leads to other code, another home or another model counts only once the user's own `config.toml` has that value too.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple

from sagaflow_mcp import paths, project_env, simple_toml
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.paths import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping


class Guarded(NamedTuple):
    """A variable that decides whom the user trusts."""

    variable: str
    setting: str
    """Where `config.toml` allows a value, as `table.name`; empty where nothing does."""
    parts: Callable[[str, str, str], tuple[str, ...]]
    """What is compared of a value, in a process with a working folder and a user's folder."""
    default: str = ""
    """What counts where the user has chosen nothing."""
    option: str = ""
    """The plugin's setting that stands for it, as in `plugin_options`."""
    is_list: bool = False
    """Whether the setting holds several values, separated by `:`."""


def _text(value: str, _folder: str, _user: str) -> tuple[str, ...]:
    return (value,)


def _address(value: str, _folder: str, _user: str) -> tuple[str, ...]:
    return (value.strip().rstrip("/"),)


def _path(value: str, folder: str, user: str) -> tuple[str, ...]:
    # Not made shorter: where `..` leads depends on links, which a repository can bring along.
    whole = user + value[1:] if value == "~" or value.startswith("~/") else os.path.join(folder, value)
    return (whole.rstrip("/"),)


def _paths(value: str, folder: str, user: str) -> tuple[str, ...]:
    return tuple(part for each in value.split(os.pathsep) if each for part in _path(each, folder, user))


PROJECTS = "projects."
"""So begin the settings that the default home's `config.toml` has: they decide which home and which code is used."""

GUARDED = (
    Guarded("HOME", "", _path),
    Guarded("SAGAFLOW_HOME", PROJECTS + "home", _path, "~/.sagaflow", option="HOME", is_list=True),
    Guarded("SAGAFLOW_SERVER", PROJECTS + "server", _text),
    Guarded("SAGAFLOW_SKILLS_PATH", "skills.path", _paths, is_list=True),
    Guarded("ANTHROPIC_BASE_URL", "models.base_url", _address, "https://api.anthropic.com", option="BASE_URL"),
    Guarded("SAGAFLOW_TRANSPORT", "models.transport", _text, "auto"),
    Guarded("SAGAFLOW_CLAUDE", "claude.command", _path),
    Guarded("CLAUDE_CONFIG_DIR", "claude.config_dir", _path, "~/.claude"),
)
"""Every guarded variable; those that say where `config.toml` is come first."""

CHOSEN = tuple(each for each in GUARDED if each.setting and not each.setting.startswith(PROJECTS))
"""Those whose setting, besides allowing a value, is what counts where the environment has none."""

OF_HOME = frozenset({"HOME", "SAGAFLOW_HOME"})
"""Those that say which home is used."""

OF_CODE = frozenset({"HOME", "SAGAFLOW_SERVER", "CLAUDE_CONFIG_DIR"})
"""Those that say what the launcher runs: Claude Code derives the plugin's data folder from the last one."""

CLAIMED = "SAGAFLOW_CLAIMED"
"""What a project had set when a server's launcher started: a JSON object of files by variable. The environment of a
server stays what it was then, whatever becomes of the files."""

VALUE_LIMIT = 200
"""The longest value that is shown, in characters."""

FOR_SHELL = "if you trust that: sagaflow config set {setting} {quoted}; else take it out of that file"
FOR_AGENT = (
    "only the user can decide on that: either the line {line} goes below [{table}] in {config!r}, or it is taken out "
    "of that file and Claude Code started again"
)
"""How a value is allowed, for those who have our command and those who have only the plugin."""

NEVER = "no project can choose that: take it out of that file and start Claude Code again"


class Claim(NamedTuple):
    """A guarded variable whose value comes from a project's settings."""

    variable: str
    value: str
    file: str
    is_certain: bool
    """Whether the file says so: one that cannot be read may say anything."""
    is_allowed: bool
    setting: str
    wanted: str
    """The setting's value that allows this one and whatever the user has allowed already."""
    config: str
    """The path of the `config.toml` that is asked."""


def claims(environ: Mapping[str, str], folder: str = "") -> list[Claim]:
    """The guarded variables in `environ` whose values come from a project, in the order of `GUARDED`. Never raises.

    Args:
        environ: with the plugin's own settings applied.
        folder: where the process works, by default this process's own working folder.
    """
    folder = folder or _working_folder()
    files = _claimed(environ, folder)
    if not files:
        return []
    user = paths.user_folder(environ)
    found: list[Claim] = []
    for each in GUARDED:
        if each.variable in files:
            is_ours = not any(known.variable in OF_HOME and not known.is_allowed for known in found)
            named = environ if is_ours and not each.setting.startswith(PROJECTS) else {"HOME": user}
            config = Home.from_environment(named).config
            source = files[each.variable]
            found.append(_claim(each, environ[each.variable], source=source, config=config, folder=folder, user=user))
    return found


def foreign(environ: Mapping[str, str], only: Collection[str] = (), folder: str = "") -> list[Claim]:
    """The `claims` that the user has not allowed, of the variables `only` where some are named. Never raises."""
    return [each for each in claims(environ, folder) if not each.is_allowed and (not only or each.variable in only)]


def refuse(environ: Mapping[str, str], cure: str = FOR_SHELL, only: Collection[str] = ()) -> None:
    """Return when the user has allowed what a project's settings have put into `environ`; Refusal otherwise."""
    for each in foreign(environ, only):
        raise Refusal(sentence(each, cure))


def sentence(claim: Claim, cure: str) -> str:
    """What a user is told of `claim` that was not allowed."""
    return f"{finding(claim)}; {how_to_allow(claim, cure)}"


def finding(claim: Claim) -> str:
    """What `claim` is, in a sentence without its end."""
    shown = _shown(claim.value)
    what = f"{claim.variable} is {shown!r}" if shown else f"{claim.variable} has a value"
    how = "sets and you have not allowed" if claim.is_certain else "may set: it cannot be read as JSON"
    return f"{what}, which {claim.file!r} {how}"


def how_to_allow(claim: Claim, cure: str) -> str:
    """`cure`, one of `FOR_SHELL` and `FOR_AGENT`, for `claim`."""
    if not claim.setting:
        return NEVER
    import shlex  # noqa: PLC0415 - a hook that has nothing to refuse need not pay for it

    table, _, name = claim.setting.rpartition(".")
    shown = _shown(claim.wanted) or "VALUE"
    line = f"{name} = {json.dumps(shown, ensure_ascii=False)}"
    return cure.format(setting=claim.setting, quoted=shlex.quote(shown), line=line, table=table, config=claim.config)


def without(environ: Mapping[str, str], unwanted: Collection[Claim]) -> dict[str, str]:
    """`environ` as it is where nobody has set the variables of `unwanted`."""
    names = {each.variable for each in unwanted}
    kept = {name: value for name, value in environ.items() if name not in names}
    return {**kept, "HOME": _home_of_account()} if "HOME" in names else kept


def for_all_projects(environ: Mapping[str, str], folder: str = "") -> dict[str, str]:
    """`environ` for a process that works for the user's other projects too: without what this one's settings have set.

    A `PYTHONPATH` or a proxy of one project is none of the others' business. `PATH` stays, without which nothing is
    found. Never raises.
    """
    set_here = {
        name
        for block in project_env.blocks(environ, folder or _working_folder())
        for name, value in block.values.items()
        if value is None or environ.get(name) == value
    }
    return {name: value for name, value in environ.items() if name not in set_here or name in {"HOME", "PATH"}}


def remembered(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ`, which goes to a process that lives long, with what a project has set in it."""
    known = {each.variable: each.file for each in claims(environ) if each.is_certain}
    return {**environ, CLAIMED: json.dumps(known)} if known else dict(environ)


def _claimed(environ: Mapping[str, str], folder: str) -> dict[str, tuple[str, bool]]:
    """The file that each guarded variable in `environ` comes from, and whether that is certain."""
    found: dict[str, tuple[str, bool]] = {name: (file, True) for name, file in _earlier(environ).items()}
    for block in project_env.blocks(environ, folder):
        for each in GUARDED:
            value = environ.get(each.variable)
            names = (each.variable, project_env.OPTION + each.option)
            said = [block.values[name] for name in names if name in block.values]
            if not value or not (value in said or None in said or _may_say(block, each.variable, value)):
                continue
            known = found.get(each.variable)
            if known is None or not (known[1] or block.is_unreadable):
                found[each.variable] = (block.file, not block.is_unreadable)
    return found


def _may_say(block: project_env.Block, variable: str, value: str) -> bool:
    """Whether `block`, which cannot be read, has to be taken for what sets `variable`."""
    # HOME is set for everybody; a project gains nothing from it but by a folder of its own.
    project = os.path.realpath(os.path.dirname(os.path.dirname(block.file)))
    is_inside = (os.path.realpath(value) + "/").startswith(project + "/")
    return block.is_unreadable and (variable != "HOME" or is_inside)


def _earlier(environ: Mapping[str, str]) -> dict[str, str]:
    try:
        known = json.loads(environ.get(CLAIMED) or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(known, dict):
        return {}
    names = [each.variable for each in GUARDED if each.variable in known and environ.get(each.variable)]
    return {name: str(known[name]) for name in names}


def _claim(guarded: Guarded, value: str, *, source: tuple[str, bool], config: str, folder: str, user: str) -> Claim:
    chosen = simple_toml.text_in(config, guarded.setting)
    own = (_paths if guarded.is_list else guarded.parts)(chosen, "/", user) if chosen else ()
    if guarded.is_list or not chosen:
        default = guarded.default if guarded.setting else _home_of_account()
        own += guarded.parts(default, "/", user) if default else ()
    parts = guarded.parts(value, folder, user)
    wanted = os.pathsep.join(dict.fromkeys((*chosen.split(os.pathsep), *parts))) if guarded.is_list else parts[0]
    return Claim(
        variable=guarded.variable,
        value=value,
        file=source[0],
        is_certain=source[1],
        is_allowed=set(parts) <= set(own),
        setting=guarded.setting,
        wanted=wanted.strip(os.pathsep),
        config=config,
    )


def _home_of_account() -> str:
    import pwd  # noqa: PLC0415 - needed only where a project says which folder is the user's

    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""


def _shown(value: str) -> str:
    """`value` where it can be shown whole; empty where it is long, holds a password or could be taken for a message."""
    return value if len(value) <= VALUE_LIMIT and value.isprintable() and "@" not in value else ""


def _working_folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""
