"""A skill that draws a file's name where it must not."""

import random

from temporalio import workflow

from sagaflow_mcp import skill


def draw():
    """A number that is another one on each replay."""
    with workflow.unsafe.sandbox_unrestricted():
        return random.SystemRandom().random()


@skill("flaw-random")
async def flaw(ctx):
    """The skill."""
    await ctx.artifact(f"{draw()}.txt", "content")
