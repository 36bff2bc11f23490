"""The skill that sleeps."""

from sagaflow_mcp import Context, skill


@skill("nap")
async def nap(ctx: Context, days: float) -> str:
    """Sleep that many days."""
    await ctx.sleep(days=days)
    return "awake"
