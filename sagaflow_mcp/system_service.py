"""The engine as a service of the system: systemd's user units on Linux, launchd's agents on macOS."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sagaflow_mcp import credentials, engine_client, markers, paths, processes, records, service_files
from sagaflow_mcp.errors import Failure, Refusal
from sagaflow_mcp.service_files import Service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagaflow_mcp.settings import Settings

COMMAND_SECONDS = 60
"""How long systemctl, loginctl or launchctl may take."""

PASSED_ON = ("PATH", "LANG", "CLAUDE_CONFIG_DIR", "XDG_CONFIG_HOME")
"""What a service gets of the environment it was installed from: where commands are, Claude Code's login among them."""


@dataclass(frozen=True)
class Standing:
    """How the service of a home stands."""

    manager: Literal["systemd", "launchd", ""]
    """What would run it here; empty where there is neither."""
    name: str
    file: str
    """Where its file is or would be."""
    installed: bool
    python: str
    """The interpreter that the file names; empty without one."""
    python_gone: bool
    """Whether that is no longer there, as after an upgrade into another environment."""
    current: bool
    """Whether it runs the installation that is asked."""


def standing(settings: Settings) -> Standing:
    """How the service of the settings' home stands, by its file alone."""
    service = _service(settings)
    manager = _manager(settings.environ)
    # Of a home without a manager one still wants to know whether a file was left.
    file = _file(settings.environ, service)
    try:
        content = file.read_bytes()
    except OSError:
        content = b""
    python = service_files.interpreter(content)
    return Standing(
        manager=manager,
        name=service.name,
        file=str(file),
        installed=bool(content),
        python=python,
        python_gone=bool(content) and not os.access(python, os.X_OK),
        current=python == service.python,
    )


def shown(settings: Settings) -> str:
    """The file that would be written; Refusal when a path in it cannot stand in one."""
    return _content(_service(settings)).decode()


def install(settings: Settings) -> list[str]:
    """What was done, a sentence each, once the service is installed and on its way. Once more changes nothing.

    Raises:
        Refusal: there is neither systemd with an instance of the user's nor launchd, or a path does not fit.
        Failure: the file cannot be written, or the system does not take it.
    """
    service = _service(settings)
    content = _content(service)
    _refuse_without_manager(settings)
    file = _file(settings.environ, service)
    try:
        changed = not file.exists() or file.read_bytes() != content
        if changed:
            file.parent.mkdir(parents=True, exist_ok=True)
            paths.write_atomically(str(file), content)
    except OSError as error:
        raise Failure(f"{str(file)!r} cannot be written: {error.strerror or error}") from error
    said = [f"{file} {'is written' if changed else 'is as it should be'}"]
    open_runs = len(markers.run_ids(settings.home))
    if not open_runs and not _is_active(settings.environ, service):
        # Without an open run there is nothing that it holds.
        engine_client.stop(settings.home, "the system's service takes over")
    said += _begun(settings.environ, service, file, renewed=changed and not open_runs)
    if open_runs:
        said.append(
            f"the engine that is up has {markers.counted(open_runs)} and goes on with what these were launched with; "
            "the service takes over once it leaves"
        )
    return said


def uninstall(settings: Settings) -> list[str]:
    """What was done, a sentence each, once nothing of the service is left; open runs wait for the next command.

    Raises:
        Failure: the file cannot be removed.
    """
    service = _service(settings)
    file = _file(settings.environ, service)
    if not file.exists():
        return [f"nothing to do: there is no {file}"]
    problem = _ended(settings.environ, service, file)
    try:
        file.unlink()
    except OSError as error:
        raise Failure(f"{str(file)!r} cannot be removed: {error.strerror or error}") from error
    with contextlib.suppress(Failure):
        if sys.platform != "darwin":
            _run(settings.environ, "systemctl", "--user", "daemon-reload")
    is_up = processes.Place(settings.home.engine, "engine").alive()
    said = [f"{file} is removed{'' if is_up or problem else ', and the engine that it ran has stopped'}"]
    because = f" ({problem})" if problem else ""
    if is_up:
        said.append(f"an engine is still up{because}; to end it: sagaflow engine stop")
    elif problem:
        said.append(f"that the service has ended was not confirmed{because}; no engine is up now")
    count = len(markers.run_ids(settings.home))
    if count and not is_up:
        said.append(f"{markers.counted(count)} wait{'s' if count == 1 else ''} for the next session or command")
    if _lingers():
        said.append(
            f"lingering is still on, which other services may need; to end it: loginctl disable-linger {_user()}"
        )
    return said


def is_active(settings: Settings) -> bool:
    """Whether the system says that the service runs."""
    return _is_active(settings.environ, _service(settings))


def _service(settings: Settings) -> Service:
    user = settings.environ.get("HOME") or paths.user_folder(settings.environ)
    is_default = settings.home.root == str(Path(user, ".sagaflow"))
    passed = {name: settings.environ[name] for name in PASSED_ON if settings.environ.get(name)}
    home = {} if is_default else {"SAGAFLOW_HOME": settings.home.root}
    return Service(sys.executable, settings.home.root, is_default, {**home, **passed})


def _content(service: Service) -> bytes:
    return service_files.plist(service) if sys.platform == "darwin" else service_files.unit(service).encode()


def _file(environ: Mapping[str, str], service: Service) -> Path:
    user = Path(paths.user_folder(environ))
    if sys.platform == "darwin":
        return user / "Library" / "LaunchAgents" / f"{service.label}.plist"
    chosen = environ.get("XDG_CONFIG_HOME", "")
    # By the specification, one that is not absolute does not count.
    base = Path(chosen) if chosen.startswith("/") else user / ".config"
    return base / "systemd" / "user" / f"{service.name}.service"


def _manager(environ: Mapping[str, str]) -> Literal["systemd", "launchd", ""]:
    if sys.platform == "darwin":
        return "launchd" if _found(environ, "launchctl") else ""
    return "systemd" if _found(environ, "systemctl") else ""


def _refuse_without_manager(settings: Settings) -> None:
    manager = _manager(settings.environ)
    cure = (
        "keep `sagaflow worker run` up in its place, or see what would be installed: sagaflow service install --print"
    )
    if not manager:
        raise Refusal(f"there is neither systemd nor launchd here that could run a service; {cure}")
    if manager == "systemd":
        asked = _asked(settings.environ, "systemctl", "--user", "show-environment")
        if asked.returncode != 0:
            reason = records.one_line(asked.stderr, 200) or f"exit status {asked.returncode}"
            raise Refusal(
                f"systemd has no instance for your user here ({reason}); log in to the machine itself, or {cure}"
            )


def _begun(environ: Mapping[str, str], service: Service, file: Path, *, renewed: bool) -> list[str]:
    if sys.platform == "darwin":
        if renewed:
            _asked(environ, "launchctl", "bootout", f"{_domain()}/{service.label}")
        if not _is_active(environ, service):
            _run(environ, "launchctl", "bootstrap", _domain(), str(file))
        return ["launchd runs the engine, from each login on"]
    unit = file.name
    _run(environ, "systemctl", "--user", "daemon-reload")
    _run(environ, "systemctl", "--user", "enable", unit)
    _run(environ, "systemctl", "--user", "restart" if renewed else "start", unit)
    return ["systemd runs the engine, from each start of the machine on" if _made_to_linger(environ) else _until_told()]


def _ended(environ: Mapping[str, str], service: Service, file: Path) -> str:
    """Have the system end the service and forget it; why it could not, empty where it did.

    What it does not know of is none of its any more.
    """
    if sys.platform == "darwin":
        command = ("launchctl", "bootout", f"{_domain()}/{service.label}")
    else:
        command = ("systemctl", "--user", "disable", "--now", file.name)
    try:
        if _found(environ, command[0]):
            _run(environ, *command)
    except Failure as error:
        return str(error)
    finally:
        # Also where systemd did not answer: the link by which it starts the unit.
        for link in file.parent.glob(f"*.target.wants/{file.name}"):
            link.unlink(missing_ok=True)
    return ""


def _is_active(environ: Mapping[str, str], service: Service) -> bool:
    if sys.platform == "darwin":
        return _asked(environ, "launchctl", "print", f"{_domain()}/{service.label}").returncode == 0
    unit = f"{service.name}.service"
    return _asked(environ, "systemctl", "--user", "is-active", "--quiet", unit).returncode == 0


def _made_to_linger(environ: Mapping[str, str]) -> bool:
    """Whether the user's services run without a login, as far as we could have that done."""
    if not _lingers() and _found(environ, "loginctl"):
        _asked(environ, "loginctl", "enable-linger")
    return _lingers()


def _until_told() -> str:
    return (
        "systemd runs the engine while you are logged in; to have it run from each start of the machine on: "
        f"sudo loginctl enable-linger {_user()}"
    )


def _lingers() -> bool:
    return Path("/var/lib/systemd/linger", _user()).exists()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _domain() -> str:
    return f"gui/{os.getuid()}"


def _found(environ: Mapping[str, str], program: str) -> str | None:
    return shutil.which(program, path=environ.get("PATH", os.defpath))


def _run(environ: Mapping[str, str], program: str, *words: str) -> None:
    """Return once the command has done it; Failure with what it said."""
    done = _asked(environ, program, *words)
    if done.returncode != 0:
        reason = records.one_line(done.stderr, 300) or f"exit status {done.returncode}"
        raise Failure(f"`{' '.join([program, *words])}` failed: {reason}")


def _asked(environ: Mapping[str, str], program: str, *words: str) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in environ.items() if name not in credentials.NAMES}
    command = [_found(environ, program) or program, *words]
    try:
        return subprocess.run(
            command,
            env=given,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))
