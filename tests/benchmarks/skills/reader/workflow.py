"""The skill that is an agent which reads."""

from sagaflow_mcp import Context, skill


@skill("reader")
async def reader(ctx: Context, turns: int) -> str:
    """Let an agent read as often as its model wants to."""
    return await ctx.agent("Read the file again and again.", tools=["read_file"], max_turns=turns)
