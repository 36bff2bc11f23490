"""Runs of a test: how one went, and what many say together."""

import math
import re
import statistics
from collections import Counter
from dataclasses import dataclass

from sagaflow_mcp import commands

LOOKED_AT_BYTES = 50_000
"""How much of the beginning of a run's output, and of its end, is looked at."""

SHOWN = 3_000
"""How much of the beginning of a failure's output, and of its end, is kept, in characters."""

KEPT_RUNS = 50
"""Of the failures among so many runs of a series the output is kept: a run carries all that its steps return."""

SIGNATURE = 160
"""The longest sign by which failures are told apart, in characters."""

LINE = 500
"""How much of a line is looked at for it."""

Z = 1.96
"""Of a 95 % interval."""

_TEST = re.compile(
    r"^[ \t]*(?:FAILED|FAIL:|--- FAIL:|not ok(?: \d+)?(?: -)?|[✗✕✘\u00d7])[ \t]+(?P<name>[^\s(].*?)(?: [-(].*)?$",
    re.MULTILINE,
)
"""A line in which a test runner names a test that failed."""

_ERROR = re.compile(r"^.*(?:Error|Exception|Failure|panic|assert|[Tt]imed? ?out|fatal).*$", re.MULTILINE)
"""A line that may say what went wrong."""

_CHANGING = re.compile(r"\w*\d[\w.:]*")
"""What differs from one failure to the next although they are the same."""


@dataclass(frozen=True)
class Attempt:
    """One run."""

    passed: bool
    outcome: str
    """Its exit status in words, or why it has none."""
    seconds: float
    signature: str = ""
    """What a failure is told apart by."""
    output: str = ""
    """Of a failure, its beginning and its end; of one of many failures nothing."""


async def attempt(command: str, folder: str, seconds: float, environment: dict[str, str], kept: bool) -> Attempt:
    """One run of a command, with the output of a failure if that is to be kept."""
    result = await commands.run(command, folder, seconds, environment, LOOKED_AT_BYTES)
    took = round(result.seconds, 1)
    if result.passed:
        return Attempt(passed=True, outcome=result.outcome, seconds=took)
    return Attempt(
        passed=False,
        outcome=result.outcome,
        seconds=took,
        signature=signature(result.outcome, result.output),
        output=_shortened(result.output) if kept else "",
    )


def signature(outcome: str, output: str) -> str:
    """What tells a failure apart: its exit status, the first test that it names, and the last line about an error."""
    found = _TEST.search(output)
    said = _ERROR.findall(output)
    if not (found or said):
        said = [line for line in output.splitlines() if line.strip()]
    parts = [found["name"]] if found else []
    parts += [_CHANGING.sub("N", " ".join(said[-1][:LINE].split()))] if said else []
    return ": ".join([outcome, *parts])[:SIGNATURE]


def _shortened(output: str) -> str:
    if len(output) <= 2 * SHOWN:
        return output
    return f"{output[:SHOWN]}\n({len(output) - 2 * SHOWN:,} characters left out)\n{output[-SHOWN:]}"


@dataclass(frozen=True)
class Series:
    """Many runs of the same command."""

    attempts: list[Attempt]

    @property
    def failed(self) -> list[int]:
        """The numbers of those that failed, from 1."""
        return [number for number, each in enumerate(self.attempts, start=1) if not each.passed]

    @property
    def kept(self) -> list[int]:
        """The numbers of those failures whose output was kept, or that had none."""
        return [number for number in self.failed if number <= KEPT_RUNS]

    @property
    def signatures(self) -> dict[str, list[int]]:
        """The numbers of the failures of each kind, the most frequent kind first."""
        found: dict[str, list[int]] = {}
        for number in self.failed:
            found.setdefault(self.attempts[number - 1].signature, []).append(number)
        return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[1])))

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing to explain: it never fails, or always."""
        return len(self.failed) in {0, len(self.attempts)}

    @property
    def gist(self) -> str:
        """How often it fails, in a few words."""
        count = len(self.attempts)
        if not self.failed:
            return f"did not fail in {count} runs"
        if self.is_plain:
            return f"fails in all {count} runs: it is broken, not flaky"
        return f"fails in {len(self.failed)} of {count} runs"

    def like(self, other: "Series") -> int:
        """How many of its failures are of a kind that the `other` has too."""
        counts = Counter({kind: len(these) for kind, these in self.signatures.items()})
        return sum(counts[kind] for kind in other.signatures)

    def took(self, *, passed: bool) -> str:
        """How long the runs took that passed, or that failed, in the middle; empty where there are none."""
        found = [each.seconds for each in self.attempts if each.passed == passed]
        if not found:
            return ""
        middle = statistics.median(found)
        # Shorter times say more of the machine than of the test.
        return "under 1 s" if middle < 1 else f"{middle:.1f} s"


def at_most(runs: int) -> float:
    """The rate of failure that is not exceeded, with 95 % confidence, where none of so many runs failed: about 3/n."""
    return float(1 - 0.05 ** (1 / runs))


def interval(failed: int, runs: int) -> tuple[float, float]:
    """The 95 % interval of the rate of failure (Wilson's)."""
    rate, spread = failed / runs, Z * Z / runs
    middle = (rate + spread / 2) / (1 + spread)
    half = Z * math.sqrt(rate * (1 - rate) / runs + spread / (4 * runs)) / (1 + spread)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def chance_of_more(failed: int, runs: int, failed_before: int, runs_before: int) -> float:
    """How likely so many failures, or more, are by chance, where nothing differs (Fisher's exact test, one-sided)."""
    all_failed, all_runs = failed + failed_before, runs + runs_before
    most = min(all_failed, runs)
    ways = sum(math.comb(runs, k) * math.comb(runs_before, all_failed - k) for k in range(failed, most + 1))
    return ways / math.comb(all_runs, all_failed)
