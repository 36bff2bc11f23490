"""The skill new-skill: one function, in which each call of `ctx` is a checkpoint."""

from sagaflow_mcp import Context, skill


@skill("new-skill")
async def new_skill(ctx: Context, topic: str = "rain") -> str:
    """Explain a topic in one sentence.

    Args:
        topic: What is explained.
    """
    reply = await ctx.prompt("writer", topic=topic)
    return reply["SENTENCE"]
