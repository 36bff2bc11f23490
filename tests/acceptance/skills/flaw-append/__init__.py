"""A skill that adds to a file without looking what is there."""

from pathlib import Path

from sagaflow_mcp import skill


def append(folder: str):
    """Add a line."""
    with Path(folder, "log.txt").open("a", encoding="utf-8") as file:
        file.write("a line\n")


@skill("flaw-append")
async def flaw(ctx):
    """The skill."""
    await ctx.step(append, ctx.project_dir)
