"""The skill that reviews a change or a folder: several reviewers, each finding checked by somebody else, one report."""

import itertools
from typing import Annotated, Literal

from pydantic import Field

from sagaflow_mcp import Context, PartialFailureError, StepFailedError, skill
from sagaflow_mcp.prompts import load_prompt

from . import changes, report
from .changes import Material
from .findings import Checked, Finding, Findings, Groups, Verdict, merged

Kind = Literal["correctness", "security", "tests", "maintenance"]

REVIEW_SHOWN = 40_000
"""How much of a diff a reviewer is told, in characters; the rest it reads in the run's folder."""

CHECK_SHOWN = 8_000
"""The same for a check, which needs one place of it."""

REVIEW_TURNS = 80
"""How many turns a reviewer has. Named in `prompts/reviewer.system.md` as well."""

CHECK_TURNS = 40
"""How many turns a check has. Named in `prompts/checker.system.md` as well."""


@skill("review")
async def review(
    ctx: Context,
    *,
    base: Annotated[str, Field(pattern="^([^-].*)?$")] = "",
    paths: tuple[Annotated[str, Field(min_length=1)], ...] = (),
    focus: str = "",
    reviewers: Annotated[tuple[Kind, ...], Field(min_length=1)] = ("correctness", "security", "tests", "maintenance"),
    checks: Annotated[int, Field(ge=1)] = 30,
    limit: Annotated[int, Field(ge=1)] = 8,
) -> str:
    """Review a change or files of the project: several reviewers, whose findings others check, and one ranked report.

    Args:
        base: A branch, tag or commit: what has changed since the current branch left it is reviewed, with what is not
            committed yet. Without it and without `paths`, only what is not committed yet.
        paths: Files and folders, from the project's folder: those of the change, or without `base` as they are.
        focus: What matters most this time, and what one has to know for it.
        reviewers: What each of them looks for; one that is named twice are two who do not know of each other.
        checks: How many findings are checked at most, the most severe first; the others are reported as not checked.
        limit: How many agents are at work at a time.
    """
    ctx.phase("looking at what there is")
    material = await ctx.step(changes.material, ctx.project_dir, base, list(paths), timeout=300)
    file = await ctx.artifact("changes.diff", material.diff) if material.diff else ""
    about = {"subject": material.subject, "focus": focus.strip() or "nothing in particular"}

    ctx.phase("reviewing")
    names = _names(reviewers)
    reviews, failed = await _reviews(
        ctx, dict(zip(names, reviewers, strict=True)), about | {"material": _told(material, file, REVIEW_SHOWN)}, limit
    )
    made = [(name, each) for name, found in reviews.items() for each in found.findings]
    not_seen = {name: found.not_seen for name, found in reviews.items() if found.not_seen.strip()}

    ctx.phase("checking")
    findings, trouble = await _once_each(ctx, made)
    for each in findings[checks:]:
        each.evidence = f"only the {checks} most severe were checked"
    await _check(ctx, findings[:checks], about | {"material": _told(material, file, CHECK_SHOWN)}, limit)
    whole = report.Review(material, names, failed, not_seen, sorted(findings, key=lambda each: each.rank), trouble)
    await ctx.report(report.markdown(whole))
    if findings and all(each.verdict == "not checked" for each in findings):
        why = f"no finding could be checked, so that none is confirmed: {findings[0].evidence}"
        raise StepFailedError(f"{why}; the report has all {len(findings)} as they were made", non_retryable=True)
    return report.headline(whole)


def _names(reviewers: tuple[Kind, ...]) -> list[str]:
    """What each reviewer is called: the second one of a kind has a number."""
    counts = [reviewers[: index + 1].count(kind) for index, kind in enumerate(reviewers)]
    return [kind if count == 1 else f"{kind} {count}" for kind, count in zip(reviewers, counts, strict=True)]


def _told(material: Material, file: str, limit: int) -> str:
    """What agents are told of what is under review, with `limit` characters of its diff, which is also in a file."""
    lists = {
        f"Files ({len(material.files)}):": material.files,
        "New files, of which the diff has nothing, so read them:": material.new,
        "Out of reach, since they may hold credentials or lead elsewhere:": material.left_out,
    }
    told = ["\n".join([title, *names]) for title, names in lists.items() if names]
    if material.diff:
        rest = f"\n\n(It goes on in {file}, which holds all of it.)" if len(material.diff) > limit else ""
        told.append(f"The diff, which is also the file {file}:\n\n{material.diff[:limit]}{rest}")
    return "\n\n".join(told)


async def _reviews(
    ctx: Context, reviewers: dict[str, Kind], about: dict[str, str], limit: int
) -> tuple[dict[str, Findings], dict[str, str]]:
    """What each reviewer has found, by name, and why each of the others has failed; StepFailedError if all have."""
    done = itertools.count(1)

    async def reviewed(name: str) -> Findings:
        """What that reviewer finds."""
        kind = reviewers[name]
        system = {"project": ctx.project_dir, "kind": kind, "lens": load_prompt(__file__, f"{kind}.lens")}
        found = await ctx.agent(
            load_prompt(__file__, "reviewer.task", about),
            output=Findings,
            system=load_prompt(__file__, "reviewer.system", system),
            max_turns=REVIEW_TURNS,
            role=f"{kind} reviewer",
        )
        ctx.progress(next(done), len(reviewers), name)
        return found

    names = list(reviewers)
    try:
        found = await ctx.map(reviewed, names, limit=limit)
    except PartialFailureError as error:
        found = error.results
    failed = {names[index]: why for index, why in sorted(found.failures.items())}
    if not found.succeeded:
        told = "; ".join(f"{name}: {why}" for name, why in failed.items())
        raise StepFailedError(f"nothing was reviewed, since every reviewer has failed: {told}", non_retryable=True)
    return {name: each for name, each in zip(names, found, strict=True) if name not in failed}, failed


async def _once_each(ctx: Context, made: list[tuple[str, Finding]]) -> tuple[list[Checked], str]:
    """The findings without repetitions, by severity; and why repetitions are not known, where they are not."""
    if len({who for who, _ in made}) < 2:  # noqa: PLR2004 - one reviewer does not repeat itself
        return merged(made, []), ""
    listed = [
        f"{number}. {each.file}:{each.line} ({who}) {each.title}\n   {each.why}"
        for number, (who, each) in enumerate(made, 1)
    ]
    try:
        groups = await ctx.prompt("merger", output=Groups, findings="\n\n".join(listed))
    except StepFailedError as error:
        return merged(made, []), error.message
    return merged(made, groups.same), ""


async def _check(ctx: Context, findings: list[Checked], about: dict[str, str], limit: int) -> None:
    """Have each finding checked by an agent that did not make it, and note in it what came of that."""
    done = itertools.count(1)

    async def checked(each: Checked) -> Verdict:
        """What the check comes to."""
        found = await ctx.agent(
            load_prompt(__file__, "checker.task", {**about, **each.finding.model_dump(), "place": each.place}),
            output=Verdict,
            system=load_prompt(__file__, "checker.system", {"project": ctx.project_dir}),
            max_turns=CHECK_TURNS,
            role="checker",
        )
        ctx.progress(next(done), len(findings), each.place)
        return found

    try:
        verdicts = await ctx.map(checked, findings, limit=limit)
    except PartialFailureError as error:
        verdicts = error.results
    for index, (each, found) in enumerate(zip(findings, verdicts, strict=True)):
        if found is None:
            each.evidence = f"the check has failed: {verdicts.failures[index]}"
        else:
            each.verdict, each.severity, each.evidence = found.verdict, found.severity, found.evidence
