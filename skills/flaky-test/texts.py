"""What agents and people are told of runs, hypotheses and experiments."""

import re

from .counts import Attempt, Series, at_most, interval
from .findings import Conclusion, Held, Hypothesis, Tested, Trial

SAMPLES = 3
"""Of how many kinds of failure an output is shown."""

KINDS = 10
"""How many kinds of failure are listed."""

NUMBERS = 20
"""How many runs of a kind are named."""


def numbers(series: Series) -> str:
    """How many runs there were, how many failed, and of which kinds."""
    count, failed = len(series.attempts), len(series.failed)
    low, high = interval(failed, count)
    lines = [f"- {failed} of {count} runs failed: {failed / count:.0%} (95 % interval {low:.0%} to {high:.0%})"]
    took = [
        f"those that {word} took {found} (median)"
        for word, found in (("passed", series.took(passed=True)), ("failed", series.took(passed=False)))
        if found
    ]
    lines.append(f"- {'; '.join(took)}")
    kinds = list(series.signatures.items())
    lines += [f"- {_listed(these)}: {fenced(kind)}" for kind, these in kinds[:KINDS]]
    lines += [f"- and {len(kinds) - KINDS} more kinds of failure"] if len(kinds) > KINDS else []
    return "\n".join(lines)


def _listed(these: list[int]) -> str:
    if len(these) == 1:
        return f"once, in run {these[0]}"
    return f"{len(these)} times, in runs {', '.join(map(str, these[:NUMBERS]))}{', …' if len(these) > NUMBERS else ''}"


def samples(series: Series) -> str:
    """The output of one failure of each of the most frequent kinds."""
    kinds = list(series.signatures.values())[:SAMPLES]
    return "\n\n".join(_sample(these[0], series.attempts[these[0] - 1]) for these in kinds) or "None failed."


def _sample(number: int, failure: Attempt) -> str:
    printed = block(failure.output) if failure.output.strip() else "(no output is kept)"
    return f"Run {number}, {failure.outcome}:\n\n{printed}"


def hypothesis(given: Hypothesis) -> str:
    """A hypothesis with what speaks for it."""
    return f"{given.cause}\n\nEvidence: {given.evidence}"


def all_of(tested: list[Tested]) -> str:
    """All hypotheses under their numbers, each with its experiments and how they were read."""
    return "\n\n".join(
        f"## Hypothesis {number}\n\n{hypothesis(each.hypothesis)}\n\n{experiments(each)}"
        + (f"\n\nThe examiner's reading: {each.meaning}" if each.meaning else "")
        for number, each in enumerate(tested, start=1)
    )


def experiments(tested: Tested) -> str:
    """The experiments on a hypothesis, with their numbers."""
    return "\n".join(f"- {_experiment(each)}" for each in tested.trials) or "- no experiment was made"


def _experiment(trial: Trial) -> str:
    given, runs = trial.experiment, len(trial.series.attempts)
    variables = [fenced(f"{name}={value}") for name, value in given.environment.items()]
    how = [f"with {', '.join(variables)}"] if variables else []
    how += [f"{given.parallel} at a time"] if given.parallel > 1 else []
    counted = [f"{trial.counted} in a way known before"] if trial.counted != len(trial.series.failed) else []
    failed = f"{len(trial.series.failed)} of {runs} failed{''.join(f' ({each})' for each in counted)}"
    return f"{', '.join([fenced(given.command), *how])}: {failed}; {trial.finding}. Why: {given.reason}"


def plain(command: str, series: Series) -> str:
    """The report on a command that never fails, or always."""
    gist = f"{fenced(command)} {series.gist}."
    if series.failed:
        return "\n\n".join([gist, "# The runs", numbers(series), "# What they print", samples(series)])
    bound = (
        f"If it fails at all, it does so, with 95 % confidence, in at most {at_most(len(series.attempts)):.1%} of runs "
        "(the rule of three). More would come of more runs, or of runs where it was seen to fail: on another machine, "
        "after other tests, under load."
    )
    return "\n\n".join([gist, bound, "# The runs", numbers(series)])


def verdicts(ranked: list[Held]) -> str:
    """What came of the hypotheses, in a few words."""
    confirmed = [each.tested.hypothesis.cause for each in ranked if each.verdict == "confirmed"]
    if confirmed:
        return f"confirmed: {confirmed[0]}"
    return f"no cause was confirmed, of {len(ranked)} examined" if ranked else "no hypothesis was found"


def report(command: str, baseline: Series, ranked: list[Held], conclusion: Conclusion | None) -> str:
    """The report on a command that fails at times."""
    headline, fix, still_open = (conclusion.headline, conclusion.fix, conclusion.open) if conclusion else ("", "", "")
    parts = [
        f"{fenced(command)} {baseline.gist}; {verdicts(ranked)}",
        headline,
        f"# The runs\n\n{numbers(baseline)}",
        "# Causes, the best supported first" if ranked else "",
        *(_section(each) for each in ranked),
        f"# Proposed fix\n\n{fix}" if fix.strip() else "",
        f"# What is open\n\n{still_open}" if still_open.strip() else "",
        f"# What failures print\n\n{samples(baseline)}",
    ]
    return "\n\n".join(each.strip() for each in parts if each.strip())


def _section(each: Held) -> str:
    given = each.tested.hypothesis
    title = f"## {each.verdict.capitalize()}: {given.cause}"
    return "\n\n".join([title, each.reason, f"Evidence: {given.evidence}", experiments(each.tested)])


def fenced(text: str) -> str:
    """A line as code, whatever is in it."""
    line = " ".join(text.split())
    ticks = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def block(text: str) -> str:
    """A text as a block of code, whatever is in it."""
    ticks = "`" * max(3, max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{ticks}text\n{text.strip(chr(10))}\n{ticks}"
