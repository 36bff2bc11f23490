"""The skill that drafts a text and has a person decide about it."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from sagaflow_mcp import Context, skill

DRAFTS = 5
"""How many are made at most."""


@skill("approval")
async def approval(ctx: Context, task: str, wait_hours: Annotated[float, Field(ge=0, le=8760)] = 72) -> str:
    """Draft a text, and have a person approve it, reject it or ask for another.

    Args:
        task: What the text is, whom it is for and what it must say.
        wait_hours: How long to wait for each decision; without one, nothing is approved.
    """
    wait = timedelta(hours=wait_hours)
    draft = wish = ""
    for number in range(1, DRAFTS + 1):
        ctx.phase(f"draft {number}")
        draft = await ctx.prompt("writer", output=str, task=task, draft=draft or "none", wish=wish or "none")
        path = await ctx.artifact(f"draft-{number}.md", draft)
        options = ["yes", "no", "again"] if number < DRAFTS else ["yes", "no"]
        decision = await ctx.ask(f"Publish this draft? {path}", options=options, timeout=wait, default="")
        if decision != "again":
            break
        wish = await ctx.ask("What should the next draft do differently?", timeout=wait, default="")
    if decision == "yes":
        await ctx.artifact("approved.md", draft)
    await ctx.report(draft)
    told = {"yes": "approved", "no": "rejected"}.get(decision, f"not approved: nobody decided in {wait_hours:g} hours")
    return f"draft {number} was {told}"
