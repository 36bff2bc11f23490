"""Hypotheses on why a test fails, the experiments on them, and what their numbers allow to be said."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from .counts import Series, chance_of_more

MOST_HYPOTHESES = 5
"""On one test."""

MOST_EXPERIMENTS = 3
"""On one hypothesis."""

CLEAR = 0.01
"""How unlikely a difference must be by chance to count; stricter than usual, since several experiments are made."""

Text = Annotated[str, Field(pattern=r"\S")]
Line = Annotated[str, Field(pattern=r"^[^\x00]*\S[^\x00]*$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]

Judgement = Literal["confirmed", "refuted", "inconclusive"]


class Experiment(BaseModel):
    """A variation of the command."""

    command: Line = Field(description="The whole shell command, run in the working folder instead of the user's.")
    environment: dict[Name, Annotated[str, Field(pattern=r"^[^\x00]*$")]] = Field(
        default={}, description="Variables that it has besides the usual ones."
    )
    parallel: int = Field(default=1, ge=1, le=32, description="How many runs of it there are at the same time.")
    expected: Literal["fails more often", "fails less often"] = Field(
        description="What is to be seen if the hypothesis is true, against the user's command."
    )
    reason: Text = Field(description="Why that tells this cause from others.")

    @classmethod
    def of(cls, command: str, parallel: int) -> "Experiment":
        """The user's own command, as if it were one."""
        return cls(command=command, parallel=parallel, expected="fails more often", reason="the baseline")


class Hypothesis(BaseModel):
    """Why the test may fail."""

    cause: Text = Field(description="The mechanism in one sentence: what happens in which order, and where.")
    evidence: Text = Field(description="The files, lines and failures that speak for it, and what speaks against it.")
    experiment: Experiment


class Hypotheses(BaseModel):
    """What an investigator finds."""

    hypotheses: list[Hypothesis] = Field(
        min_length=1, max_length=MOST_HYPOTHESES, description="The most likely one first."
    )


class Reading(BaseModel):
    """What an examiner makes of the numbers."""

    meaning: Text = Field(description="What the experiments so far say of the hypothesis, and what they leave open.")
    next: Experiment | None = Field(description="Another experiment, where it can decide what is open; else null.")


class Ranked(BaseModel):
    """What is said of a hypothesis in the end."""

    hypothesis: int = Field(description="Its number.")
    verdict: Judgement
    reason: Text = Field(description="The numbers that the verdict rests on, and what they mean.")


class Conclusion(BaseModel):
    """What a reporter says of all."""

    headline: str = Field(description="One plain sentence: why the test fails, or that this is not known.")
    ranking: list[Ranked] = Field(description="Every hypothesis once, the best supported first.")
    fix: str = Field(description="Markdown: the change that you propose, with file and line; nothing is changed yet.")
    open: str = Field(description="Markdown: what is not known, and the next experiment that a person should make.")


@dataclass(frozen=True)
class Trial:
    """An experiment that was made."""

    experiment: Experiment
    series: Series
    spoiled: list[str]
    """Files that are different after it, and that the test itself does not change."""
    counted: int
    """How many failures count: where more are expected, those of a kind that the user's command has too."""
    chance: float
    """How likely such a difference is by chance."""

    @property
    def is_as_expected(self) -> bool:
        """Whether there is a clear difference, and the expected one."""
        return self.chance <= CLEAR and not self.spoiled

    @property
    def finding(self) -> str:
        """What it shows, in words."""
        if self.spoiled:
            return f"void, since it changed {', '.join(f'`{each}`' for each in self.spoiled[:5])}"
        expected = self.experiment.expected
        told = f"{expected}, as expected" if self.is_as_expected else f"no clear sign that it {expected}"
        return f"{told} (p {'< 0.0001' if self.chance < 1e-4 else f'= {self.chance:.2g}'})"  # noqa: PLR2004 - as shown


@dataclass
class Tested:
    """A hypothesis and what was done to test it."""

    hypothesis: Hypothesis
    trials: list[Trial] = field(default_factory=list)
    meaning: str = ""

    @property
    def spoiled(self) -> list[str]:
        """The files that its experiments have changed."""
        return sorted({path for each in self.trials for path in each.spoiled})

    @property
    def may_go_on(self) -> bool:
        """Whether a further experiment on it is in order."""
        return len(self.trials) < MOST_EXPERIMENTS and not self.spoiled

    def add(self, experiment: Experiment, series: Series, baseline: Series, spoiled: list[str]) -> None:
        """Take in what came of an experiment."""
        runs, runs_before, before = len(series.attempts), len(baseline.attempts), len(baseline.failed)
        if experiment.expected == "fails more often":
            # A command that cannot even start fails each time, and says nothing.
            counted = series.like(baseline)
            chance = chance_of_more(counted, runs, before, runs_before)
        else:
            counted = len(series.failed)
            chance = chance_of_more(before, runs_before, counted, runs)
        self.trials.append(Trial(experiment, series, spoiled, counted, chance))


@dataclass(frozen=True)
class Held:
    """A hypothesis with the verdict that its numbers bear."""

    tested: Tested
    verdict: Judgement
    reason: str


_ORDER: list[Judgement] = ["confirmed", "inconclusive", "refuted"]


def held(tested: list[Tested], conclusion: Conclusion | None) -> list[Held]:
    """Each hypothesis with what may be said of it, the best supported first.

    No hypothesis is confirmed without a clear difference in an experiment, nor refuted with one or without any.
    """
    ranking = conclusion.ranking if conclusion else []
    said = {each.hypothesis: (place, each) for place, each in reversed(list(enumerate(ranking)))}
    found = []
    for number, each in enumerate(tested, start=1):
        place, ranked = said.get(number, (len(tested), None))
        found.append((place, _held(each, ranked)))
    found.sort(key=lambda pair: (_ORDER.index(pair[1].verdict), pair[0]))
    return [each for _, each in found]


def _held(tested: Tested, ranked: Ranked | None) -> Held:
    if ranked is None:
        return Held(tested, "inconclusive", tested.meaning or "It was not tested.")
    valid = [each for each in tested.trials if not each.spoiled]
    is_seen = any(each.is_as_expected for each in valid)
    if ranked.verdict == "confirmed" and not is_seen:
        return Held(tested, "inconclusive", f"{ranked.reason} (Taken for confirmed; the numbers do not show it.)")
    if ranked.verdict == "refuted" and (is_seen or not valid):
        return Held(tested, "inconclusive", f"{ranked.reason} (Taken for refuted; the numbers do not show it.)")
    return Held(tested, ranked.verdict, ranked.reason)
