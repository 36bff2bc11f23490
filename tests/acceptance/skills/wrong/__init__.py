"""A skill that returns something else than its case says."""

from sagaflow_mcp import skill


@skill("wrong")
async def wrong(ctx):
    """The skill."""
    return "this"
