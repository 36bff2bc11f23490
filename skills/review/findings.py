"""Findings of reviewers: what they are made of, which are the same, and in which order they are reported."""

from typing import Literal

from pydantic import BaseModel, Field

Severity = Literal["critical", "high", "medium", "low"]

SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low")

CONFIDENCE = ("confirmed", "unclear", "not checked", "refuted")
"""What a check may come to, the surest first."""


class Finding(BaseModel):
    """One problem at one place."""

    file: str = Field(min_length=1, description="Its path from the project's folder.")
    line: int = Field(ge=0, description="In the file as it is now, from 1; 0 where no line can be named.")
    severity: Severity
    title: str = Field(min_length=1, description="What is wrong, in one sentence.")
    why: str = Field(min_length=1, description="What happens because of it, to whom, and under which circumstances.")
    how_to_see: str = Field(description="Input, steps or lines that show it, for somebody who can run the code.")
    what_to_do: str = Field(description="The smallest change that would put it right.")


class Findings(BaseModel):
    """What one reviewer found."""

    findings: list[Finding] = Field(max_length=20, description="The most severe first; empty where there is none.")
    not_seen: str = Field(
        description="What was to be reviewed and was not read, or could not be judged, and why; empty if all was."
    )


class Groups(BaseModel):
    """Which findings are the same."""

    same: list[list[int]] = Field(description="Each list has the numbers of findings of one and the same problem.")


class Verdict(BaseModel):
    """What came of the check of one finding."""

    verdict: Literal["confirmed", "refuted", "unclear"]
    severity: Severity = Field(description="As you see it, whatever the reviewer said.")
    evidence: str = Field(min_length=1, description="What the code shows, with file and line of each part of it.")


class Checked(BaseModel):
    """A finding, who made it, and what came of its check."""

    finding: Finding
    by: list[str]
    """The reviewers that made it."""
    also: list[str] = []
    """What others of them called the same."""
    verdict: str = "not checked"
    """One of `CONFIDENCE`."""
    severity: Severity
    evidence: str = ""
    """Of the check; for one that was not made, why."""

    @property
    def place(self) -> str:
        """The file, with the line where one is named."""
        return f"{self.finding.file}:{self.finding.line}" if self.finding.line else self.finding.file

    @property
    def rank(self) -> tuple[int, int, str, int]:
        """Less than that of what is reported after it."""
        confidence = CONFIDENCE.index(self.verdict)
        return SEVERITIES.index(self.severity), confidence, self.finding.file, self.finding.line


def merged(found: list[tuple[str, Finding]], same: list[list[int]]) -> list[Checked]:
    """The findings of all reviewers, by severity, each problem once.

    Args:
        found: each with who made it.
        same: the numbers, from 1, of those that are one problem; a number that is none, or not for the first time, is
            passed over.
    """
    left = dict(enumerate(found, 1))
    groups = [[left.pop(number) for number in dict.fromkeys(group) if number in left] for group in same]
    groups += [[each] for each in left.values()]
    return sorted((_one(group) for group in groups if group), key=lambda each: each.rank)


def _one(group: list[tuple[str, Finding]]) -> Checked:
    """The most severe of findings that are the same, with what the others called it."""
    _, worst = min(group, key=lambda each: SEVERITIES.index(each[1].severity))
    by = list(dict.fromkeys(who for who, _ in group))
    also = [f"{each.file}:{each.line} {each.title}" for _, each in group if each is not worst]
    return Checked(finding=worst, by=by, also=also, severity=worst.severity)
