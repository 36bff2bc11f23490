"""What `doctor` must not do where it looks beyond Sagaflow's own files."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import faces, service_files
from sagaflow_mcp.health import models, processes
from sagaflow_mcp.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagaflow_mcp.paths import Home


class Gateway(ThreadingHTTPServer):
    """Answers each request with a redirection to `elsewhere`, or where that is empty with 200."""

    elsewhere = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Redirecting)
        self.heard: list[str] = []
        """The paths that were asked for."""

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Redirecting(BaseHTTPRequestHandler):
    """One request to a `Gateway`."""

    server: Gateway

    def do_GET(self) -> None:
        """Note and answer it."""
        self.server.heard.append(self.path)
        self.send_response(302 if self.server.elsewhere else 200)
        self.send_header("location", self.server.elsewhere)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: what was asked for is noted."""


@contextlib.contextmanager
def up() -> Iterator[Gateway]:
    """A gateway, as long as the body runs."""
    with Gateway() as gateway:
        thread = threading.Thread(target=gateway.serve_forever)
        thread.start()
        try:
            yield gateway
        finally:
            gateway.shutdown()
            thread.join()


def test_a_key_is_not_taken_to_where_a_gateway_redirects(home: Home) -> None:
    """Another host must not get it; what the redirection says of the key is nothing."""
    with up() as other, up() as gateway:
        gateway.elsewhere = f"{other.address}/v1/models"
        environ = {"ANTHROPIC_API_KEY": "k-1", "ANTHROPIC_BASE_URL": gateway.address}
        settings = Settings.load({"SAGAFLOW_HOME": home.root, "HOME": home.root, "PATH": "/usr/bin:/bin", **environ})
        (found,) = models.access(settings, faces.CLI)
    assert (gateway.heard, other.heard) == (["/v1/models?limit=1"], [])
    assert (found.level, "does not say whether it is good" in found.finding) == ("info", True)


@pytest.mark.parametrize(
    ("module", "is_left"),
    [
        ("sagaflow_mcp.engine", True),
        ("sagaflow_mcp.worker", True),
        (service_files.FRONT, False),
        ("other.sagaflow_mcp.engine", False),
    ],
)
def test_what_waits_for_an_engine_to_leave_is_no_process_left_over(
    home: Home, monkeypatch: pytest.MonkeyPatch, module: str, is_left: bool
) -> None:
    """The service does so for hours, and `doctor --fix` ends what is left over."""
    monkeypatch.setattr(processes, "YOUNG", -1)
    command = [sys.executable, "-c", "print(flush=True); input()", "-m", module, home.root]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as started:
        assert started.stdout is not None
        started.stdout.readline()
        found = [each.pid for each in processes.left_over(home)]
    assert found == ([started.pid] if is_left else [])
