"""Rounds of work: what came of each, and how that is told to the next one, to the judge and to people."""

import re
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, Field

from sagaflow_mcp.changes import Changes
from sagaflow_mcp.commands import Result

SUMMARY = 1_500
"""How much of what a worker says of an earlier round the next ones are told, in characters."""

LISTED = 200
"""How many changed files are named."""


class Work(BaseModel):
    """What a worker says at the end of its round."""

    summary: str = Field(
        pattern=r"\S",
        description="Markdown for the next round and for people: what you changed and why, file by file; what the "
        "commands say now; what you have tried that did not work; what is still missing.",
    )
    status: Literal["ready", "impossible"] = Field(
        description="'ready' when your round is over, whatever the commands say; 'impossible' only when no work in "
        "this folder can reach the goal, and then the summary begins with the reason."
    )

    @property
    def gist(self) -> str:
        """The first line of the summary."""
        return self.summary.strip().splitlines()[0]


class Verdict(BaseModel):
    """What a judge finds."""

    looked_at: str = Field(description="Which files and parts of the goal you have looked at, and what you saw.")
    faults: list[str] = Field(
        description="What keeps the goal from being reached, each with the file and line that show it and what would "
        "put it right; empty when there is nothing."
    )
    verdict: Literal["done", "not done"]


@dataclass
class Round:
    """One round."""

    number: int
    work: Work
    results: list[Result]
    """What came of the commands after the work."""
    verdict: Verdict | None = None
    """None where a command failed, so that no judge was asked."""
    again: list[Result] = field(default_factory=list)
    """What came of the commands after the judge had agreed."""

    @property
    def passed(self) -> bool:
        """Whether all commands passed after the work."""
        return all(each.passed for each in self.results)

    @property
    def is_approved(self) -> bool:
        """Whether the judge has agreed, and has named no fault."""
        return self.verdict is not None and self.verdict.verdict == "done" and not self.verdict.faults

    @property
    def is_done(self) -> bool:
        """Whether the goal is reached: the judge has agreed, and all commands passed once more after that."""
        return self.is_approved and bool(self.again) and all(each.passed for each in self.again)

    @property
    def is_last(self) -> bool:
        """Whether no further round makes sense."""
        return self.is_done or self.work.status == "impossible"

    @property
    def missing(self) -> str:
        """What keeps this round from being the last one, in a sentence."""
        failed = [each for each in self.results if not each.passed]
        failed_again = [each for each in self.again if not each.passed]
        if failed:
            return f"{_named(failed)} failed"
        if failed_again:
            return f"{_named(failed_again)} passed first, and failed once the judge had agreed"
        faults = self.verdict.faults if self.verdict else []
        return f"the judge did not agree: {'; '.join(faults) or 'it named no fault'}"

    def ending(self, rounds: int) -> str:
        """How a run ends whose last round this is."""
        if self.is_done:
            return f"done in round {self.number}: {_named(self.results)} passed, and the judge agreed"
        if self.work.status == "impossible":
            return f"given up in round {self.number}, {self.missing}; the worker says: {self.work.gist}"
        return f"not done after {self.number} of {rounds} rounds: {self.missing}"


def _named(results: list[Result]) -> str:
    return ", ".join(f"`{each.command}`" for each in results)


def listed(commands: list[str]) -> str:
    """The commands, one below the other."""
    return "\n".join(f"{number}. {fenced(command)}" for number, command in enumerate(commands, start=1))


def fenced(text: str) -> str:
    """The text as a block of code, whatever is in it; in one line where it has one."""
    runs = [len(each) for each in re.findall("`+", text)]
    if "\n" not in text.strip() and text.strip():
        ticks = "`" * (max(runs, default=0) + 1)
        pad = " " if text.startswith("`") or text.endswith("`") else ""
        return f"{ticks}{pad}{text.strip()}{pad}{ticks}"
    ticks = "`" * max(3, max(runs, default=0) + 1)
    return f"{ticks}text\n{text.strip(chr(10))}\n{ticks}"


def told(results: list[Result]) -> str:
    """What came of commands, with what they printed."""
    return "\n\n".join(
        f"{fenced(each.command)}: {each.outcome}. It printed:\n\n{fenced(each.output)}"
        if each.output.strip()
        else f"{fenced(each.command)}: {each.outcome}. It printed nothing."
        for each in results
    )


def changed(found: Changes) -> str:
    """Which files are different from how they were at the launch."""
    lines = [
        f"- {kind}: {fenced(path)}"
        for kind, paths in (("added", found.added), ("changed", found.changed), ("removed", found.removed))
        for path in paths
    ]
    left_out = [f"- and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
    not_whole = [] if found.is_whole else ["- The folder has more files than were looked at."]
    return "\n".join([*lines[:LISTED], *left_out, *not_whole]) or "- no file"


def history(done: list[Round]) -> str:
    """What the next round must know of those before it: of the last one all that there is."""
    if not done:
        return "This is the first round: nothing has been tried yet."
    last = done[-1]
    earlier = [
        f"Round {each.number}: {each.missing}\n\nIts worker said:\n\n"
        f"{fenced(each.work.summary if each is last else each.work.summary[:SUMMARY])}"
        for each in done
    ]
    return "\n\n".join(
        [
            "What came of the rounds before this one, oldest first:",
            *earlier,
            "What the commands say now, as they were run after the last round:",
            told(last.again or last.results),
        ]
    )


def report(goal: str, done: list[Round], rounds: int, found: Changes) -> str:
    """The report of a run whose rounds these are so far."""
    last = done[-1]
    is_over = last.is_last or last.number >= rounds
    gist = last.ending(rounds) if is_over else f"round {last.number} of {rounds} is over: {last.missing}"
    parts = [f"{gist[:1].upper()}{gist[1:]}", f"# Goal\n\n{goal}", f"# Files\n\n{changed(found)}"]
    return "\n\n".join([*parts, *map(_section, done)])


def _section(each: Round) -> str:
    lines = [f"- after the work, {fenced(result.command)}: {result.outcome}" for result in each.results]
    if each.verdict:
        lines.append(f"- the judge: {each.verdict.verdict}")
        lines += [f"  - {fault}" for fault in each.verdict.faults]
        lines += [f"  - looked at: {each.verdict.looked_at}"] if each.verdict.looked_at else []
    lines += [f"- after the judge, {fenced(result.command)}: {result.outcome}" for result in each.again]
    said = "\n".join(f"> {line}".rstrip() for line in each.work.summary.splitlines())
    return "\n\n".join([f"# Round {each.number}", "\n".join(lines), "In the worker's own words:", said])
