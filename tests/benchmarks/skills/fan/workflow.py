"""As many prompts as one asks for."""

from sagaflow_mcp import Context, skill


@skill("fan")
async def fan(ctx: Context, count: int = 1000, lanes: int = 50) -> int:
    """Ask `count` prompts, `lanes` at a time."""
    return len(await ctx.map(lambda item: ctx.prompt("one", tier="haiku", item=item), range(count), limit=lanes))
