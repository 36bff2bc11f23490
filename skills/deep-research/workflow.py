"""The skill that looks into a question: readers for its parts, each claim checked against its source, one report."""

import itertools
from typing import Annotated

from pydantic import Field

from sagaflow_mcp import Context, PartialFailureError, StepFailedError, skill
from sagaflow_mcp.agent_tools import READING
from sagaflow_mcp.prompts import load_prompt

from . import report
from .claims import Answer, Findings, Judgements, Part, Plan, Reading, is_page, stated

READ_TURNS = 40
"""How many turns a reader has. Named in `prompts/reader.system.md` as well."""

CHECK_TURNS = 20
"""How many turns the check of a source has."""

WEB = "web_fetch"


@skill("deep-research", allowed_tools=(WEB,))
async def deep_research(
    ctx: Context,
    *,
    question: Annotated[str, Field(pattern=r"\S")],
    sources: tuple[Annotated[str, Field(pattern=r"\S")], ...] = (),
    search_tools: tuple[Annotated[str, Field(pattern=r"^mcp__\S+__\S+$")], ...] = (),
    parts: Annotated[int, Field(ge=1, le=12)] = 6,
    limit: Annotated[int, Field(ge=1)] = 8,
) -> str:
    """Look into a question: readers for its parts, each claim checked against its source by others, and one report.

    Args:
        question: What is asked, with all that one has to know to understand it.
        sources: Where to begin: URLs of public pages, and files or folders from the project's folder.
        search_tools: Tools of MCP servers with which the readers of the web may search, as `mcp__server__tool`.
        parts: Into how many parts the question is divided at most; each has a reader.
        limit: How many agents are at work at a time.
    """
    given = {
        "whole": question,
        "pages": "\n".join(filter(is_page, sources)) or "none",
        "files": "\n".join(itertools.filterfalse(is_page, sources)) or "none",
        "search": ", ".join(search_tools) or "none",
        "day": f"{ctx.now():%Y-%m-%d}",
    }
    ctx.phase("planning")
    plan = await ctx.prompt("planner", output=Plan, count=parts, **given)
    planned = plan.parts[:parts]

    ctx.phase("reading")
    readings, failed = await _readings(ctx, planned, given, (WEB, *search_tools), limit)
    findings = Findings(
        [stated(part, planned[part].where, each) for part, reading in readings.items() for each in reading.claims]
    )

    ctx.phase("checking")
    unchecked = await _check(ctx, findings, limit)
    whole = report.Research(question, given["day"], planned, readings, failed, findings, unchecked)

    ctx.phase("writing")
    if not findings.stated:
        answer = Answer(headline="No answer was found", text="No reader has found anything to say.", contested=[])
    else:
        answer = await _answer(ctx, whole)
    await ctx.report(report.markdown(whole, answer))
    return report.result(whole, answer.headline)


async def _readings(
    ctx: Context, parts: list[Part], given: dict[str, str], web_tools: tuple[str, ...], limit: int
) -> tuple[dict[int, Reading], dict[int, str]]:
    """What the reader of each part has found, and why each of the others has failed; StepFailedError if all have."""
    done = itertools.count(1)
    means = {
        "web": load_prompt(__file__, "web.means", given),
        "files": load_prompt(__file__, "files.means", {"project": ctx.project_dir or "the run's own folder"}),
    }

    async def read(index: int) -> Reading:
        """What that part's reader finds."""
        part = parts[index]
        start = part.start.strip() or "nothing is known"
        sources = given["pages"] if part.where == "web" else given["files"]
        task = {"whole": given["whole"], "question": part.question, "start": start, "sources": sources}
        found = await ctx.agent(
            load_prompt(__file__, "reader.task", task),
            # Never both: a page could have the one agent carry away what it has read in a file.
            tools=web_tools if part.where == "web" else READING,
            output=Reading,
            system=load_prompt(__file__, "reader.system", {"day": given["day"], "means": means[part.where]}),
            max_turns=READ_TURNS,
            role=f"reader of {part.where}",
        )
        ctx.progress(next(done), len(parts), part.question)
        return found

    try:
        found = await ctx.map(read, range(len(parts)), limit=limit)
    except PartialFailureError as error:
        found = error.results
    failed = dict(sorted(found.failures.items()))
    if not found.succeeded:
        told = "; ".join(f"{parts[index].question}: {why}" for index, why in failed.items())
        raise StepFailedError(f"nothing was read, since every reader has failed: {told}", non_retryable=True)
    return {index: each for index, each in enumerate(found) if index not in failed}, failed


async def _check(ctx: Context, findings: Findings, limit: int) -> dict[str, str]:
    """Have the claims on each source checked there, note in them what came of it; why, where a check has failed."""
    done = itertools.count(1)
    sources = findings.sources

    async def checked(source: str) -> Judgements:
        """What the source has to say of the claims that rest on it."""
        claims = "\n\n".join(
            f"{number}. {each.claim.text}\n   Said to stand in {each.claim.source}: {each.claim.quote or '(no words)'}"
            for number, each in enumerate(findings.of(source), 1)
        )
        found = await ctx.agent(
            load_prompt(__file__, "checker.task", {"source": source, "claims": claims}),
            tools=(WEB,) if is_page(source) else READING,
            output=Judgements,
            system=load_prompt(__file__, "checker.system"),
            max_turns=CHECK_TURNS,
            role="checker",
        )
        ctx.progress(next(done), len(sources), source)
        return found

    try:
        judged = await ctx.map(checked, sources, limit=limit)
    except PartialFailureError as error:
        judged = error.results
    for source, found in zip(sources, judged, strict=True):
        claims = dict(enumerate(findings.of(source), 1))
        for each in found.claims if found else []:
            if claim := claims.get(each.number):
                claim.verdict, claim.evidence = each.verdict, each.evidence
    return {sources[index]: why for index, why in sorted(judged.failures.items())}


async def _answer(ctx: Context, research: report.Research) -> Answer:
    """The answer to the whole question; where it cannot be written, the report has what it would be made of."""
    try:
        return await ctx.prompt(
            "writer", output=Answer, max_tokens=8192, question=research.question, found=report.found(research)
        )
    except StepFailedError as error:
        told = f"The answer could not be written: {error.message}"
        missing = Answer(headline=told, text="What was read and checked stands below.", contested=[])
        await ctx.report(report.markdown(research, missing))
        raise
