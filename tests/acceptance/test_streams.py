"""The command in scripts: streams that are closed, full, cut off, or of another encoding."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import records
from sagaflow_mcp.paths import Home
from tests.acceptance import tools

if TYPE_CHECKING:
    from collections.abc import Mapping

SUMMARY = "caf\u00e9 \u2028\u6f22\u5b57\u2026"


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A user with more in the inbox than a pipe holds."""
    folder = tmp_path_factory.mktemp("user")
    home = Home(str(folder / "home")).prepare()
    for n in range(2000):
        text = records.Entry(f"x-{n}~a", f"x-{n}", "x", "DONE", SUMMARY, "2030-01-31T08:15:00Z").to_json()
        Path(home.inbox, "new", f"x-{n}~a.json").write_text(text, encoding="utf-8")
    return {"PATH": tools.path(), "HOME": str(folder), "SAGAFLOW_HOME": home.root, "TMPDIR": str(folder)}


def shell(line: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    """What a line in a shell does."""
    return subprocess.run(["bash", "-c", line], env=environ, capture_output=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("line", "status", "out", "error"),
    [
        ("sagaflow inbox --limit 1 >&-", 0, b"", b""),
        ("sagaflow inbox --limit 1 <&- >&- 2>&-", 0, b"", b""),
        ("sagaflow dismiss x-1 <&- 2>&-", 0, b"dismissed x-1\n", b""),
        ("sagaflow show nothing 2>&-", 1, b"", b""),
        ("sagaflow lunch >&- 2>&-", 2, b"", b""),
        ("sagaflow lunch >&-", 2, b"", b"sagaflow: there is no command 'lunch'; "),
        ("sagaflow hook install </dev/null", 1, b"", b"sagaflow: there is no terminal to ask whether "),
    ],
)
def test_a_closed_stream_is_silence_and_nothing_else(
    environ: dict[str, str], line: str, status: int, out: bytes, error: bytes
) -> None:
    """What was meant for one stream never goes to another."""
    done = shell(line, environ)
    assert (done.returncode, done.stdout) == (status, out)
    assert done.stderr.startswith(error)
    assert bool(done.stderr) == bool(error)


@pytest.mark.parametrize("command", ["inbox --limit 2000", "inbox --limit 2000 --json", "help json", "--help"])
def test_whoever_has_read_enough_may_go(environ: dict[str, str], command: str) -> None:
    """As `head` does; nobody is told of it."""
    done = shell(f"sagaflow {command} | head -n 1; exit ${{PIPESTATUS[0]}}", environ)
    # The end of a short text may still have fitted into the pipe.
    assert done.returncode in {0, 141}
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == b""
    assert shell(f"set -o pipefail; sagaflow {command} 2>&1 | true", environ).stdout == b""


@pytest.mark.parametrize("command", ["inbox --limit 1", "inbox --limit 2000", "help json", "--version"])
def test_output_that_cannot_be_written_is_a_sentence(environ: dict[str, str], command: str) -> None:
    """Here because the terminal is gone; a full disk is the same. It is no bug."""
    master, slave = os.openpty()
    os.close(master)
    words = [str(tools.COMMANDS / "sagaflow"), *command.split()]
    done = subprocess.run(words, env=environ, stdout=slave, stderr=subprocess.PIPE, timeout=30, check=False)
    os.close(slave)
    assert done.returncode == 1
    assert done.stderr.startswith(b"sagaflow: the output cannot be written: ")
    assert len(done.stderr.splitlines()) == 1
    assert list(Path(environ["TMPDIR"]).glob("sagaflow-bug-*")) == []


@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"PYTHONIOENCODING": "ascii"}, {"LANG": "xx_YY"}]
)
def test_any_encoding_will_do(environ: dict[str, str], locale: dict[str, str]) -> None:
    """JSON is the same in each of them; elsewhere a character that there is not becomes another."""
    done = shell("sagaflow inbox --limit 1 && sagaflow inbox --limit 1 --json", {**environ, **locale})
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode("utf-8").splitlines()
    assert "caf" in lines[0]
    found = json.loads("".join(lines[2:]))
    assert found[0]["summary"] == SUMMARY
    refused = shell(r"sagaflow show $'caf\351'", {**environ, **locale})
    assert refused.returncode == 1
    assert refused.stderr.startswith(b"sagaflow: there is no run 'caf")


def test_a_pipe_has_colours_only_for_whoever_asks(environ: dict[str, str]) -> None:
    """JSON never has any."""
    line = "sagaflow inbox --limit 1"
    assert b"\x1b" not in shell(line, environ).stdout
    assert b"\x1b" in shell(line, {**environ, "FORCE_COLOR": "1"}).stdout
    assert b"\x1b" not in shell(f"{line} --json", {**environ, "FORCE_COLOR": "1"}).stdout
