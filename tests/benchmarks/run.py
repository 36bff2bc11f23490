"""Sagaflow's benchmarks: `python tests/benchmarks/run.py` prints each figure beside its baseline and its bar.

`--only NAME` (again for more) measures one group, `--rounds N` sets how often the slow figures are taken (the quick
ones four times as often), `--strict` makes a bar that is exceeded an exit status of 1. All figures are medians. A
baseline is measured in the same run, in turns with its figure; a first turn of each does not count. Everything is
real but the model, which is the offline Messages API. It needs an environment in which the package is installed.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

sys.path[0] = str(Path(__file__).parents[2])

from sagaflow_mcp.testing import LocalSagaflow  # noqa: E402 (found by the line above)
from tests.benchmarks import commands, fan_out, launcher, lives, session, sleeps, steps, turns  # noqa: E402
from tests.benchmarks.figures import Figure, table  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK = 4
"""How many times as often the quick figures are taken."""

ALONE: dict[str, Callable[[int], list[Figure]]] = {
    "hook": lambda rounds: commands.hook(QUICK * rounds),
    "cli": lambda rounds: commands.cli(QUICK * rounds),
    "listing": lambda rounds: commands.listing(2 * rounds),
    "launcher": lambda rounds: launcher.figures(2 * rounds),
    "fan-out": fan_out.figures,
    "sleeps": sleeps.figures,
    "cold": lives.cold,
    "recovery": lives.recovery,
}
"""Groups that bring their own homes."""

WARM: dict[str, Callable[[LocalSagaflow, int], list[Figure]]] = {
    "launch": lambda local, rounds: commands.launch(local, 2 * rounds),
    "session": lambda local, rounds: session.launching(local, QUICK * rounds),
    "artifact": lambda local, rounds: steps.artifact(local, 2 * rounds),
    "model": lambda local, rounds: steps.model(local, 2 * rounds),
    "agent": turns.figures,
    "memory": lambda local, _: session.memory(local),
    "context": lambda local, _: session.context(local),
}
"""Groups that share an engine which is up and has run the skill."""


def main() -> int:
    """Measure and print; 1 when a bar is exceeded and `--strict` was given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often the slow figures are taken (default 5)")
    parser.add_argument("--only", action="append", choices=[*WARM, *ALONE], help="a group to measure, again for more")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a bar is exceeded")
    options = parser.parse_args()
    # Set, it would have every process compile what an installation has compiled once.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    figures = _measured(options.only or [*WARM, *ALONE], options.rounds)
    sys.stdout.write(f"\n{table(figures)}\n")
    return int(options.strict and any(figure.is_over for figure in figures))


def _measured(groups: list[str], rounds: int) -> list[Figure]:
    figures = []
    with ExitStack() as stack:
        wanted = [(name, measure) for name, measure in WARM.items() if name in groups]
        if wanted:
            local = stack.enter_context(LocalSagaflow(skills=[lives.SKILLS]))
            local.wait(local.launch("bench", artifacts=1, calls=1))
        for name, measure in wanted:
            _say(name)
            figures += measure(local, rounds)
    for name, measure_alone in ALONE.items():
        if name in groups:
            _say(name)
            figures += measure_alone(rounds)
    return figures


def _say(name: str) -> None:
    sys.stderr.write(f"measuring {name}\n")


if __name__ == "__main__":
    sys.exit(main())
