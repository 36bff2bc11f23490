"""Every kill, again and again: `python tests/benchmarks/kills.py` prints how long runs stand still after each.

`--times N` sets how often each is done (default 10), `--only NAME` (again for more) does these alone, `--seed N`
repeats an order, `--cycles N` adds as many starts of an engine that is killed with all its parts. The order is random.
Each time three runs stand in a model call, in a workflow task and idle, and each must end with its whole result, one
entry and no finished step taken again; afterwards no process, lock, port or temporary file may be left. What falls
short is printed, and makes the exit status 1.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import signal
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

sys.path[0] = str(Path(__file__).parents[2])

from sagaflow_mcp import engine_client  # noqa: E402 (found by the line above)
from sagaflow_mcp.testing import LocalSagaflow, Rule, ToolUse  # noqa: E402
from tests.acceptance import tools  # noqa: E402
from tests.acceptance.claude_code import PREFIX, ClaudeCode  # noqa: E402
from tests.benchmarks.commands import SAGAFLOW  # noqa: E402
from tests.benchmarks.session import SERVER  # noqa: E402
from tests.integration.launched import MODERN, Launched  # noqa: E402
from tests.older_version import OlderVersion  # noqa: E402
from tests.phases import LIMIT_SECONDS, PHASES, SKILLS, ThreeRuns, left_behind  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ENGINE = ("keeper", "engine", "server", "worker")

SLEEP_SECONDS = 75.0
"""Longer than every timeout: a heartbeat's 12 s, a workflow task's 10 s, the engine's own 60 s for a silent worker."""

Times = dict[str, list[float]]
"""Seconds by phase."""


def kill(local: LocalSagaflow, parts: Sequence[str]) -> None:
    """End these parts with SIGKILL, as good as at once."""
    for pid in _pids(local, parts):
        os.kill(pid, signal.SIGKILL)


def reboot(local: LocalSagaflow) -> None:
    """End all of it; what is left is the home, and the next command."""
    kill(local, ENGINE)
    _wake(local)


def stop(local: LocalSagaflow) -> None:
    """Stop the engine in order, and let the next command start it."""
    engine_client.stop(local.settings.home)
    _wake(local)


def sleep(local: LocalSagaflow) -> None:
    """Have all of it stand still for longer than every timeout."""
    pids = _pids(local, ENGINE)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(SLEEP_SECONDS)
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)


DEEDS: dict[str, Callable[[LocalSagaflow], None]] = {
    "worker": lambda local: kill(local, ("worker",)),
    "server": lambda local: kill(local, ("server",)),
    "server, worker": lambda local: kill(local, ("server", "worker")),
    "engine": lambda local: kill(local, ("engine",)),
    "keeper, engine": lambda local: kill(local, ("keeper", "engine")),
    "engine, server, worker": lambda local: kill(local, ("engine", "server", "worker")),
    "all (reboot)": reboot,
    "stop and start": stop,
    "sleep and wake": sleep,
}

LAUNCHERS = ("launcher", "MCP server", "launcher, MCP server", "launcher, MCP server, engine, server, worker")
"""What a session has of its own, killed with its runs launched over MCP."""

CLAUDE_CODES = ("Claude Code", "Claude Code, engine, server, worker")
"""The real Claude Code, killed in its session that has launched the runs."""

TAKEOVER = "takeover by a newer version"

NAMES = [*DEEDS, *LAUNCHERS, *CLAUDE_CODES, TAKEOVER]


def main() -> int:
    """Kill and print; 1 when anything was lost or left."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--only", action="append", choices=NAMES)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--cycles", type=int, default=0)
    options = parser.parse_args()
    order = (options.only or NAMES) * options.times
    random.Random(options.seed).shuffle(order)
    sys.stderr.write(f"seed {options.seed}\n")
    found: dict[str, Times] = {name: {phase: [] for phase in PHASES} for name in sorted(set(order), key=order.index)}
    losses = []
    for number, name in enumerate(order, 1):
        losses += _once(name, found[name])
        sys.stderr.write(f"{number} of {len(order)}: {name}; {len(losses)} losses\n")
    losses += _cycles(options.cycles)
    sys.stdout.write(_table(found))
    sys.stdout.write(f"\n{len(order)} kills, {options.cycles} cycles, {len(losses)} losses\n")
    sys.stdout.writelines(f"{loss}\n" for loss in losses)
    return bool(losses)


def _once(name: str, times: Times) -> list[str]:
    """Do it once to a new home; what was lost by it or left behind."""
    with LocalSagaflow(skills=[SKILLS]) as local:
        try:
            runs, began = _done(local, name)
            runs.let_go()
            runs.ends()
        except (AssertionError, TimeoutError) as error:
            return [f"{name}: {error!r}"]
        finally:
            engine_client.stop(local.settings.home)
        for phase in PHASES:
            times[phase].append(min((at - began).total_seconds() for at in runs.asked(phase) if at > began))
        return [f"{name}: {each} is left" for each in left_behind(local)]


def _done(local: LocalSagaflow, name: str) -> tuple[ThreeRuns, datetime]:
    """The runs to which it was done, and when."""
    if name in LAUNCHERS:
        return _to_a_launcher(local, name.split(", "))
    if name in CLAUDE_CODES:
        return _to_claude_code(local, name.split(", "))
    if name == TAKEOVER:
        return _takeover(local)
    return _without_session(local, DEEDS[name])


def _without_session(local: LocalSagaflow, deed: Callable[[LocalSagaflow], None]) -> tuple[ThreeRuns, datetime]:
    runs = ThreeRuns(local)
    runs.wait_until_halted()
    began = datetime.now(UTC)
    deed(local)
    return runs, datetime.now(UTC) if deed is sleep else began


def _takeover(local: LocalSagaflow) -> tuple[ThreeRuns, datetime]:
    older = OlderVersion(local.folder)
    runs = ThreeRuns(local, lambda where, gate: older.launch(local, "phases", where=where, gate=gate))
    runs.wait_until_halted()
    began = datetime.now(UTC)
    local.launch("phases", where="newer")
    return runs, began


def _to_claude_code(local: LocalSagaflow, parts: Sequence[str]) -> tuple[ThreeRuns, datetime]:
    commands = tools.npm_package(tools.CLAUDE_CODE) / "node_modules" / ".bin"
    claude = ClaudeCode(local.folder / "claude", commands)
    sessions = []

    def launch(where: str, gate: str) -> str:
        """Have Claude launch it, in a session that goes on."""
        run_id = f"{where}-by-claude"
        call = {"skill": "phases", "args": {"where": where, "gate": gate}, "run_id": run_id}
        local.model.add(
            Rule(match=f"Begin {where}", tools=(ToolUse(name=f"{PREFIX}launch_workflow", input=call),), times=1),
            Rule(match=run_id, reply="understood", hold="session"),
        )
        sessions.append(claude.begin(f"Begin {where}", local, "--plugin-dir", str(tools.ROOT)))
        return run_id

    runs = ThreeRuns(local, launch)
    try:
        runs.wait_until_halted()
        pids = [*(each.pid for each in sessions), *_pids(local, parts[1:])]
        began = datetime.now(UTC)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
    finally:
        for each in sessions:
            each.kill()
            each.wait()
    return runs, began


def _to_a_launcher(local: LocalSagaflow, parts: Sequence[str]) -> tuple[ThreeRuns, datetime]:
    environ = {**local.environment(), "SAGAFLOW_SERVER": shlex.quote(SERVER)}
    with Launched(MODERN, environ) as session:
        session.begin()

        def launch(where: str, gate: str) -> str:
            """Launch as Claude does."""
            session.call(where, "launch_workflow", skill="phases", args={"where": where, "gate": gate})
            return str(session.result(where)["structuredContent"]["run_id"])

        runs = ThreeRuns(local, launch)
        runs.wait_until_halted()
        launcher = session.process.pid
        (server,) = subprocess.run(["pgrep", "-P", str(launcher)], capture_output=True, check=True).stdout.split()
        own = {"launcher": launcher, "MCP server": int(server)}
        others = _pids(local, [part for part in parts if part not in own])
        began = datetime.now(UTC)
        for pid in [*(own[part] for part in parts if part in own), *others]:
            os.kill(pid, signal.SIGKILL)
    return runs, began


def _cycles(count: int) -> list[str]:
    """Start the engine of a home and kill all of it, so often; what is left once the last one was stopped in order."""
    with LocalSagaflow() as local:
        for number in range(count + 1):
            engine_client.ready(local.settings.home, environ=local.settings.for_engine())
            if number < count:
                kill(local, ENGINE)
        engine_client.stop(local.settings.home)
        return [f"cycles: {each} is left" for each in left_behind(local)]


def _pids(local: LocalSagaflow, parts: Sequence[str]) -> list[int]:
    status = engine_client.status(local.settings.home) or {}
    return [status["keeper"] if part == "keeper" else local.pid(part) for part in parts]


def _wake(local: LocalSagaflow) -> None:
    subprocess.run(
        [SAGAFLOW, "runs"], env=local.environment(), stdout=subprocess.DEVNULL, timeout=LIMIT_SECONDS, check=True
    )


def _table(found: dict[str, Times]) -> str:
    lines = [f"{'seconds until the run moves again':<46}{''.join(f'{phase:>16}' for phase in PHASES)}"]
    for name, times in found.items():
        cells = [f"{statistics.median(each):.2f} / {max(each):.2f}" if each else "" for each in times.values()]
        lines.append(f"{name:<46}{''.join(f'{cell:>16}' for cell in cells)}")
    return "\n".join([*lines, "(median / worst)"])


if __name__ == "__main__":
    sys.exit(main())
