"""A skill that survives every crash."""

from pathlib import Path

from sagaflow_mcp import skill


def note(folder: str, line: str) -> int:
    """Write the line down once."""
    path = Path(folder, "notes.txt")
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(before if line in before else f"{before}{line}\n", encoding="utf-8")
    return len(line)


@skill("steady")
async def steady(ctx, topic: str = "rain"):
    """The skill."""
    said = await ctx.prompt("one", topic=topic)
    await ctx.sleep(days=3)
    length = await ctx.step(note, ctx.project_dir, f"about {topic}")
    await ctx.artifact("said.txt", said["TEXT"])
    return {"said": said["TEXT"], "length": length}
