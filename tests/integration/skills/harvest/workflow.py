"""A run in three phases, with steps at the same time, to be seen."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING

from temporalio import workflow

from sagaflow_mcp import skill

if TYPE_CHECKING:
    from sagaflow_mcp import Context

logger = logging.getLogger(__name__)


def weigh(count: int) -> int:
    """How much so many fields yield."""
    logger.info("weighing %d fields", count)
    try:
        int("no scales")
    except ValueError:
        logger.exception("weighed by hand")
    return 7 * count


@skill("harvest")
async def harvest(ctx: Context, fields: int = 20, question: str = "") -> str:
    """Bring in a harvest in three phases: plan, read each field at the same time, write."""
    done = itertools.count(1)

    async def read(number: int) -> str:
        """What is said of one field."""
        text = await ctx.prompt("reader", output=str, number=number)
        ctx.progress(next(done), fields, f"field {number}")
        return text

    ctx.phase("planning")
    ctx.log("it begins")
    workflow.logger.info("with Temporal's logger")
    plan = await ctx.prompt("planner", output=str, count=fields)
    ctx.phase("reading")
    found = await ctx.map(read, range(1, fields + 1))
    if question:
        await ctx.ask(question, options=["yes", "no"])
    ctx.phase("writing")
    weight = await ctx.step(weigh, fields)
    await ctx.artifact("fields.txt", "\n".join(found))
    await ctx.sleep(0.5)
    await ctx.report(f"# Harvest\n\n{plan}\n\n{len(found)} fields, {weight} tons.")
    return f"{weight} tons"
