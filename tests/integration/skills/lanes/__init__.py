"""Prompts in parallel lanes, one after the other in each, and a last one."""

from sagaflow_mcp import Context, skill


@skill("lanes")
async def lanes(ctx: Context, lanes: int = 20, steps: int = 2, last: bool = False) -> int:
    """How many lanes came to their end."""

    async def lane(number: int) -> int:
        """The lane's number, once all of its prompts are answered."""
        for step in range(1, steps + 1):
            await ctx.prompt("ask", lane=number, step=step)
        return number

    found = await ctx.map(lane, list(range(lanes)), limit=lanes)
    if last:
        await ctx.prompt("last")
    return len(found)
