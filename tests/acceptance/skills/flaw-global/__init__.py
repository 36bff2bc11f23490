"""A skill that counts in a module's global."""

from sagaflow_mcp import skill

SEEN = []


def count():
    """How often it was called, as this process knows."""
    SEEN.append(1)
    return len(SEEN)


@skill("flaw-global")
async def flaw(ctx):
    """The skill."""
    await ctx.step(count)
    return await ctx.step(count)
