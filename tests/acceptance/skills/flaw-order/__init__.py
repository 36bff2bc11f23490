"""A skill that hands a step words in the order of a set, which is another one in another process."""

from sagaflow_mcp import skill


def count(words):
    """How many there are."""
    return len(words)


@skill("flaw-order")
async def flaw(ctx):
    """The skill."""
    words = {f"word {number}" for number in range(20)}
    return await ctx.step(count, list(words))
