"""A function that goes through every part of `ctx`."""

from sagaflow_mcp import Context, skill


def double(number: int) -> int:
    """A step in a thread."""
    return 2 * number


@skill("recorded-function")
async def function(ctx: Context, part: str = "all", count: int = 4) -> str:
    """Go through all of it, or through many prompts alone: each asked by itself, or in batches."""
    if part in {"many", "batches"}:
        lanes = 5 if part == "many" else 10
        return str(len(await ctx.map(lambda item: ctx.prompt("one", item=item), range(count), limit=lanes)))
    if part == "agents":
        return await ctx.agent("Share it out", tools=["bash", "spawn_subagent"])
    ctx.phase("asking")
    answer = await ctx.ask("Go on?", options=["yes", "no"], timeout=3600)
    late = await ctx.ask("Anybody there?", timeout=0.1, default="nobody")
    doubled = await ctx.parallel([ctx.step(double, number) for number in range(3)])
    ctx.progress(1, 2)
    before = ctx.now()
    await ctx.sleep(0.1)
    seen = await ctx.agent("Look around", max_turns=3)
    drawn = ctx.random().random() + ctx.uuid().int
    await ctx.report(f"{answer} {late} {doubled} {ctx.now() > before} {drawn} {seen}")
    return str(await ctx.child("recorded-function", part="many"))
