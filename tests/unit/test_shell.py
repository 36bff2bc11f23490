"""The tool that runs commands: what it says, and that nothing of a command is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from sagaflow_mcp import agent_tools, leash
from sagaflow_mcp.agent_tools import Workspace
from sagaflow_mcp.errors import Refusal


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A project, and the folder of a run."""
    for name in ("project", "run"):
        (tmp_path / name).mkdir()
    return Workspace(str(tmp_path / "project"), str(tmp_path / "run"))


def bash(workspace: Workspace, command: str, **given: Any) -> str:
    """What the tool says."""
    return anyio.run(agent_tools.use, "bash", {"command": command, **given}, workspace)


def is_over(pid: int) -> bool:
    """Whether there is no such process, or only what its parent has not asked for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # The second where it goes while its file is read.
        return True


async def until_over(pid: int) -> None:
    """Return once the process is gone."""
    with anyio.fail_after(20):
        while not is_over(pid):
            await anyio.lowlevel.checkpoint()


def test_a_command_runs_in_the_project(workspace: Workspace) -> None:
    """What it prints comes back in order, with its exit status; a failure is no error of the call."""
    assert bash(workspace, "pwd; echo two >&2; exit 3") == f"exit status 3\n{workspace.project}\ntwo\n"
    assert bash(workspace, "true") == "exit status 0\n(it printed nothing)"
    assert bash(workspace, "kill -9 $$").startswith("exit status 247\n")


def test_nothing_can_be_typed_in(workspace: Workspace) -> None:
    """A command that waits for input finds its end, and no terminal."""
    assert (
        bash(workspace, "cat; read x; echo $?; (: < /dev/tty) 2>/dev/null || echo none") == "exit status 0\n1\nnone\n"
    )


def test_a_command_finds_neither_keys_nor_a_session(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its environment is the worker's, without them."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")
    monkeypatch.setenv("CLAUDECODE", "1")
    monkeypatch.setenv("OTHER", "kept")
    assert bash(workspace, "echo $ANTHROPIC_API_KEY$CLAUDECODE$OTHER$SAGAFLOW_IN_RUN").endswith("\nkept1\n")


def test_a_long_output_is_a_file(workspace: Workspace) -> None:
    """The model is told its beginning and its end."""
    said = bash(workspace, "seq 1 20000")
    assert said.startswith("exit status 0\n1\n2\n")
    assert said.endswith("\n20000\n")
    file = Path(workspace.run_files, "command-output", "1.txt")
    assert f"68,894 of 108,894 bytes left out; the first 108,894 are in {file}" in said
    assert file.read_text(encoding="utf-8").split() == [str(number) for number in range(1, 20001)]
    assert "in " + str(file.with_name("2.txt")) in bash(workspace, "seq 1 20000")
    assert agent_tools.Workspace(workspace.project, workspace.files).is_readable(str(file))


def test_a_gigabyte_is_read_and_dropped(workspace: Workspace) -> None:
    """But for its beginning and its end."""
    said = bash(workspace, "head -c 1000000000 /dev/zero; echo end")
    assert said.endswith("end\n")
    assert Path(workspace.run_files, "command-output", "1.txt").stat().st_size == 10_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody adopts a daemon")
@pytest.mark.parametrize(
    "command",
    [
        "sleep 1000 & echo $!",
        "mkfifo f; setsid sh -c 'echo $$ >f; exec sleep 1000' & cat f",
        "mkfifo f; (setsid setsid sh -c 'trap \"\" TERM HUP INT; echo $$ >f; exec sleep 1000' &); cat f",
        "nohup sleep 1000 >/dev/null 2>&1 & echo $!",
        "setsid sleep 1000 & echo $!; kill 0",
        "setsid sleep 1000 & echo $!; kill -TERM $PPID",
    ],
)
def test_what_a_command_leaves_running_is_ended(workspace: Workspace, command: str) -> None:
    """Also a daemon, and the command has its result at once."""
    pid = int(bash(workspace, command).split()[-1])
    assert is_over(pid)


def test_an_output_that_cannot_be_kept_is_told_all_the_same(workspace: Workspace) -> None:
    """The command has run, and must not be taken for one that has not."""
    said = bash(workspace, f"touch {workspace.files}/command-output; seq 1 20000; exit 4")
    assert said.startswith("exit status 4\n1\n")
    assert "68,894 of 108,894 bytes left out; they could not be kept: File exists" in said


def test_a_command_without_its_watch_says_so(workspace: Workspace) -> None:
    """Rather than telling an exit status that is not its own."""
    with pytest.raises(Refusal, match=r"(?s)was killed, so its exit status is unknown; it printed:.*on"):
        bash(workspace, "kill -9 $PPID; echo on")


def test_a_command_needs_its_folder(workspace: Workspace) -> None:
    """One that is gone is named."""
    Path(workspace.project).rmdir()
    with pytest.raises(Refusal, match="project' is gone"):
        bash(workspace, "true")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody adopts a daemon")
def test_orphans_that_end_are_gone(workspace: Workspace) -> None:
    """Also while the command goes on."""
    children = r"grep -l '^PPid:[[:space:]]*'$PPID'$' /proc/[0-9]*/status 2>/dev/null | xargs grep -hs '^State'"
    many = f"for i in $(seq 20); do (true &); done; while {children} | grep -q Z; do :; done; echo none"
    assert bash(workspace, many, timeout_seconds=20) == "exit status 0\nnone\n"


def test_a_command_that_takes_too_long_is_ended(workspace: Workspace) -> None:
    """Also one that ignores SIGTERM; what it has printed is told."""
    with pytest.raises(Refusal, match=r"longer than 3 s and was ended; so far:\n\d+\n") as refused:
        bash(workspace, "trap '' TERM; echo $$; while :; do sleep 1000; done", timeout_seconds=3)
    assert is_over(int(str(refused.value).split()[-1]))


def test_a_command_ends_when_it_is_cancelled(workspace: Workspace) -> None:
    """With all that it has started."""
    file = Path(workspace.project, "pid")

    async def cancelled() -> int:
        """The pid of what was started by the command that was cancelled."""
        given = {"command": "setsid sleep 1000 & echo $! >pid; wait"}
        task = asyncio.create_task(agent_tools.use("bash", given, workspace))
        with anyio.fail_after(20):
            while not (file.exists() and file.read_text(encoding="utf-8").strip()):  # noqa: ASYNC240
                await anyio.lowlevel.checkpoint()
        task.cancel()  # Once, as Temporal does.
        await asyncio.wait([task])
        assert task.cancelled()
        return int(file.read_text(encoding="utf-8"))  # noqa: ASYNC240

    assert is_over(anyio.run(cancelled))


HOLDER = "import subprocess, sys; subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE).wait()"
"""A program that holds the leash of a command."""


def test_a_command_dies_with_its_holder(workspace: Workspace) -> None:
    """When that is killed: its end of the leash is closed by the kernel."""
    command = "setsid sh -c 'echo $$; exec sleep 1000' & wait"
    holder = subprocess.Popen(
        [
            *(sys.executable, "-c", HOLDER),
            *(sys.executable, "-I", "-S", leash.__file__, "/bin/sh", "-c", command),
        ],
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        cwd=workspace.project,
    )
    assert holder.stdout is not None
    with holder:
        pid = int(holder.stdout.readline())
        os.kill(holder.pid, signal.SIGKILL)
        anyio.run(until_over, pid)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"command": ""}, "bash was given a wrong command"),
        ({"command": "true", "timeout_seconds": 0}, "bash was given a wrong timeout_seconds"),
        ({"command": "true", "timeout_seconds": 1801}, "bash was given a wrong timeout_seconds"),
        ({"command": "echo \0"}, "holds a NUL character"),
        ({"command": "x" * 3_000_000}, "bash cannot do that: Argument list too long"),
    ],
)
def test_a_wrong_command_is_refused(workspace: Workspace, given: dict[str, Any], said: str) -> None:
    """In a sentence."""
    with pytest.raises(Refusal, match=said):
        anyio.run(agent_tools.use, "bash", given, workspace)
