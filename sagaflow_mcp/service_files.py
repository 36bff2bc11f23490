"""The file by which systemd or launchd runs an engine, whoever is logged in."""

from __future__ import annotations

import hashlib
import plistlib
import xml.parsers.expat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

FRONT = "sagaflow_mcp.engine_service"
"""The module that the service runs with the home as its one argument."""

STOP_SECONDS = 40
"""How long the engine has to end its two children in order, each with a grace of its own."""

UNFIT = frozenset("\"'\\")
"""Characters that systemd takes for special ones in the path of a program, however they are quoted."""

UNIT = """\
# Written by `sagaflow service install`; `sagaflow service uninstall` takes it away again.
[Unit]
Description=Sagaflow engine of {home}
Documentation=man:systemd.service(5)
StartLimitIntervalSec=60
StartLimitBurst=10

[Service]
Type=exec
ExecStart={command}
{environment}\
Restart=on-failure
RestartSec=1
# The engine ends its worker and its server itself; where it is killed, the next one finds them alive and goes on.
KillMode=process
TimeoutStopSec={seconds}
UMask=0077

[Install]
WantedBy=default.target
"""


class Service(NamedTuple):
    """What is run, and with what."""

    python: str
    """The interpreter, by its whole path."""
    home: str
    is_default: bool
    """Whether it is the home of a user who has chosen none."""
    environment: Mapping[str, str]
    """What the engine gets besides what the system gives to every service."""

    @property
    def name(self) -> str:
        """What the service is called: each home that is not the default one has its own."""
        return "sagaflow" if self.is_default else f"sagaflow-{hashlib.sha256(self.home.encode()).hexdigest()[:8]}"

    @property
    def label(self) -> str:
        """The same for launchd."""
        return f"dev.{self.name}.engine"


def unit(service: Service) -> str:
    """The systemd unit of `service`; Refusal when a path in it cannot stand in one."""
    words = [service.python, "-m", FRONT, service.home]
    pairs = [f"{name}={value}" for name, value in service.environment.items()]
    _refuse_unfit([*words, *pairs], "a systemd unit")
    if UNFIT.intersection(service.python):
        raise Refusal(f"systemd runs no program whose path has a quote or a backslash, such as {service.python!r}")
    program, *more = map(_quoted, words)
    return UNIT.format(
        home=service.home.replace("%", "%%"),
        # A dollar begins a variable in what a program is given, but not in its own path nor in Environment=.
        command=" ".join([program, *(word.replace("$", "$$") for word in more)]),
        environment="".join(f"Environment={_quoted(pair)}\n" for pair in pairs),
        seconds=STOP_SECONDS,
    )


def plist(service: Service) -> bytes:
    """The property list of `service` for launchd; Refusal when a path in it cannot stand in one."""
    words = [service.python, "-m", FRONT, service.home]
    _refuse_unfit([*words, *service.environment.values()], "a property list")
    content = {
        "Label": service.label,
        "ProgramArguments": words,
        "EnvironmentVariables": dict(service.environment),
        "RunAtLoad": True,
        # As Restart=on-failure: an engine that was told to stop stays away.
        "KeepAlive": {"SuccessfulExit": False},
        "AbandonProcessGroup": True,
        "ExitTimeOut": STOP_SECONDS,
        "ProcessType": "Background",
        "Umask": 0o077,
        "StandardErrorPath": str(Path(service.home, "engine", "engine.log")),
    }
    return plistlib.dumps(content)


def interpreter(text: bytes) -> str:
    """The interpreter that the file with the content `text` runs; empty where that cannot be told."""
    try:
        if text.startswith(b"<?xml"):
            return str(plistlib.loads(text)["ProgramArguments"][0])
        lines = text.decode().splitlines()
        command = next(line.partition("=")[2] for line in lines if line.startswith("ExecStart="))
        quoted = command[1 : command.index(f'" "-m" "{FRONT}"')]
    except (ValueError, KeyError, IndexError, StopIteration, xml.parsers.expat.ExpatError):
        return ""
    return quoted.replace("%%", "%")


def _quoted(text: str) -> str:
    """`text` as one word of a unit, in which % begins a specifier."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _refuse_unfit(texts: list[str], where: str) -> None:
    for text in texts:
        if not text.isprintable() or text != text.encode(errors="replace").decode():
            raise Refusal(f"{text!r} has a character that {where} cannot have; use another path")
