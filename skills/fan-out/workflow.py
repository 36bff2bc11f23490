"""The skill that asks one question about each of many topics and puts the answers together."""

import itertools
from typing import Annotated

from pydantic import BaseModel, Field

from sagaflow_mcp import Context, PartialFailureError, skill


class Summary(BaseModel):
    """What the answers say together."""

    headline: str = Field(description="The gist in one plain sentence.")
    text: str = Field(description="Markdown without headings: what the topics share, where they differ, what is open.")


@skill("fan-out")
async def fan_out(
    ctx: Context,
    question: str,
    topics: Annotated[list[str], Field(min_length=1)],
    limit: Annotated[int, Field(ge=1)] = 8,
) -> str:
    """Ask one question about each of many topics, and report the answers and what they say together.

    Args:
        question: What is asked about each topic.
        topics: Each is asked about on its own, in one model call.
        limit: How many are asked about at a time.
    """
    done = itertools.count(1)

    async def answer(topic: str) -> str:
        """What the model says about `topic`."""
        text = await ctx.prompt("researcher", tier="HAIKU", output=str, question=question, topic=topic)
        ctx.progress(next(done), len(topics), topic)
        return text

    ctx.phase("asking")
    try:
        answers = await ctx.map(answer, topics, limit=limit)
    except PartialFailureError as error:
        if not error.results.succeeded:
            raise
        answers = error.results

    ctx.phase("summing up")
    found = [f"## {topic}\n\n{text}" for topic, text in zip(topics, answers, strict=True) if text is not None]
    summary = await ctx.prompt("editor", output=Summary, question=question, answers="\n\n".join(found))
    failed = [f"- {topics[index]}: {why}" for index, why in answers.failures.items()]
    if failed:
        found.append("\n".join(["## Without an answer", "", *failed]))
    await ctx.report("\n\n".join([f"# {question}", f"**{summary.headline}** {summary.text}", *found]))
    return f"{summary.headline} ({len(answers.succeeded)} of {len(topics)} topics answered)"
