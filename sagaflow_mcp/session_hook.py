"""Our hooks in Claude Code's `settings.json`, for those who do not have the plugin."""

from __future__ import annotations

import errno
import json
import os
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from sagaflow_mcp import claude_settings, paths, processes
from sagaflow_mcp.errors import Failure, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sagaflow_mcp.claude_settings import Hook, Settings

SCRIPT = "run.sh"
"""The front of our hooks."""

NAMES = frozenset({"session-start", "prompt", "wait", "launched"})
"""What it can be told to do."""

LAUNCH = "mcp__.*sagaflow.*__launch_workflow"
"""The tool after whose calls a session waits for news: who has no plugin has chosen the server's name."""

TURN_SECONDS = 5.0
"""How long to wait for another command that changes the file, which takes milliseconds."""

RENEW = "`sagaflow hook install` puts this installation's in its place, `sagaflow hook uninstall` takes them out"


@dataclass(frozen=True)
class Standing:
    """How the hooks stand."""

    settings: str
    """Claude Code's settings file, which need not exist."""
    plugin: str
    """The name under which the plugin, which brings the hooks itself, is enabled; empty when it is not."""
    scripts: tuple[str, ...]
    """The scripts that the file runs for us: none, one, or one too many."""
    partial: bool
    """Whether it runs them for less than this version could tell, such as only when a session starts."""
    current: bool
    """Whether it has what this installation puts there, and nothing else of ours."""
    missing: tuple[str, ...]
    """Those of them that are gone, as after an environment was removed."""
    hooks_off: bool
    """Whether the file tells Claude Code to run no hook, the plugin's neither."""

    @property
    def tells(self) -> bool:
        """Whether a session that starts is told what has ended."""
        return not self.hooks_off and (bool(self.plugin) or len(self.scripts) > len(self.missing))


def standing(environ: Mapping[str, str]) -> Standing:
    """How the hooks stand in the settings of the user of `environ`.

    Raises:
        Refusal: the file is not one that Claude Code could have written.
        Failure: it cannot be read.
    """
    path = claude_settings.folder(environ) / "settings.json"
    found = _parsed(path, _read(path))
    hooks = found.hooks(_is_ours)
    scripts = list(dict.fromkeys(str(hook.handler["args"][0]) for hook in hooks))
    wanted = _hooks()
    return Standing(
        settings=str(path),
        plugin=found.plugin,
        scripts=tuple(scripts),
        partial=bool(hooks) and not set(map(_purpose, wanted)) <= set(map(_purpose, hooks)),
        current=hooks == wanted,
        missing=tuple(script for script in scripts if not _exists(script)),
        hooks_off=found.hooks_off,
    )


class Finding(NamedTuple):
    """What there is to say about how the hooks stand."""

    level: Literal["ok", "info", "warn"]
    text: str
    cure: str = ""


def finding(found: Standing) -> Finding:
    """How the hooks stand, in a sentence, with what puts right what is not."""
    if found.hooks_off:
        text = f"{found.settings} has disableAllHooks: sessions are not told what has ended"
        return Finding("warn", text, "take it out of the file")
    if found.missing:
        return Finding("warn", f"{found.settings} runs {found.missing[0]}, which is gone", RENEW)
    if found.plugin:
        extra = f"; those in {found.settings} are not needed" if found.scripts else ""
        cure = "`sagaflow hook uninstall` takes them out" if extra else ""
        return Finding("ok", f"the plugin {found.plugin} brings them{extra}", cure)
    if found.partial:
        return Finding("warn", f"{found.settings} runs {found.scripts[0]} for a part of what it can tell", RENEW)
    if found.scripts:
        return Finding("ok", f"{found.settings} runs {', '.join(found.scripts)}")
    text = f"sessions are not told what has ended: neither the plugin nor {found.settings} has the hooks"
    return Finding("info", text, "`sagaflow hook install` puts them there")


def install(environ: Mapping[str, str]) -> bool:
    """Whether the file had to be changed so that it runs the script of this installation, and no other of ours.

    Raises:
        Refusal: as `standing` does.
        Failure: the file cannot be read or written.
    """
    if standing(environ).current:
        return False
    return _change(environ, lambda settings: settings.with_hooks(_groups(), _is_ours))


def uninstall(environ: Mapping[str, str]) -> bool:
    """Whether the file had hooks of ours, and now has none. A file that has nothing left in it is removed.

    Raises:
        Refusal: as `standing` does.
        Failure: the file cannot be read or written.
    """
    return bool(standing(environ).scripts) and _change(environ, lambda settings: settings.without_hooks(_is_ours))


def folder() -> Path:
    """The hook files that came with Sagaflow: inside the installed package, else beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "bundled_hooks"
    return installed if installed.is_dir() else package.parent / "hooks"


def _groups() -> dict[str, list[dict[str, Any]]]:
    """The plugin's own hooks, with the path that they have here, by event."""
    text = (folder() / "hooks.json").read_text(encoding="utf-8")
    found: dict[str, list[dict[str, Any]]] = json.loads(text)["hooks"]
    for group in (group for groups in found.values() for group in groups):
        for handler in group["hooks"]:
            handler["args"][0] = str(folder() / SCRIPT)
    for group in found["PostToolUse"]:
        group["matcher"] = LAUNCH
    return found


def _hooks() -> list[Hook]:
    """The same, one by one."""
    return claude_settings.Settings(json.dumps({"hooks": _groups()})).hooks(_is_ours)


def _purpose(hook: Hook) -> tuple[str, str, str]:
    """When a hook runs, and what it then does."""
    return hook.event, hook.matcher, hook.handler["args"][1]


def _is_ours(handler: object) -> bool:
    """Whether a handler in the settings is a hook of this or another installation of Sagaflow, one that is gone too."""
    script = claude_settings.script(handler, NAMES)
    if not script:
        return False
    if not _exists(script):
        return "sagaflow" in script.lower()
    around = Path(script).parent.parent
    return around.name == "sagaflow_mcp" or (around / "sagaflow_mcp").is_dir()


def _exists(path: str) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises where a folder may not be searched


def _read(path: Path) -> str:
    """The content of the file `path`, with its line ends; empty when there is no file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise Refusal(f"{str(path)!r} is not a file; move it away")
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise Refusal(f"{str(path)!r} is not UTF-8 at byte {error.start + 1}; put that right") from None
    except OSError as error:
        raise Failure(f"{str(path)!r} cannot be read ({error.strerror}); put that right") from error


def _parsed(path: Path, text: str) -> Settings:
    try:
        return claude_settings.Settings(text)
    except ValueError as error:
        raise Refusal(f"{str(path)!r} cannot be understood: {error}; put that right") from None


def _change(environ: Mapping[str, str], edit: Callable[[Settings], str]) -> bool:
    """Whether `edit` changed the settings file, or what it links to, which is replaced as a whole."""
    path = claude_settings.folder(environ) / "settings.json"
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _turn(target.parent):
            before = _read(path)
            after = edit(_parsed(path, before))
            if after == before:
                return False
            _replace(target, after, is_link=path.is_symlink())
    except OSError as error:
        raise Failure(f"{str(target)!r} cannot be written ({error.strerror}); nothing was changed") from error
    return True


def _replace(target: Path, text: str, *, is_link: bool) -> None:
    like = target.stat() if target.exists() else None
    if like and not like.st_mode & 0o222:
        # Replacing needs no permission to write it, but whoever took that from everybody wants it to stay as it is.
        raise PermissionError(errno.EACCES, "it is read-only")
    if text.strip() != "{}" or is_link:
        paths.write_atomically(str(target), text, like=like)
        return
    target.unlink()
    with suppress(OSError):  # The folder may be ours too; one that is not empty stays.
        target.parent.rmdir()


@contextmanager
def _turn(place: Path) -> Iterator[None]:
    """The right to change the settings in the folder `place`, as far as other `sagaflow` commands are concerned.

    Failure when it cannot be had within `TURN_SECONDS`.
    """
    # The folder itself: it is Claude Code's, and no file of ours belongs there.
    lock = processes.acquire(str(place), TURN_SECONDS, os.O_RDONLY)
    if lock is None:
        raise Failure(f"another command has been changing {str(place)!r} for {TURN_SECONDS:g} s; end it")
    try:
        yield
    finally:
        os.close(lock)
