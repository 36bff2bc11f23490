"""The skill that does what it is told: an agent that works in the folder that the run was launched from."""

from typing import Annotated

from pydantic import Field

from sagaflow_mcp import Context, skill
from sagaflow_mcp.prompts import load_prompt

TOOLS = ("read_file", "glob", "grep", "write_file", "edit_file", "bash", "web_fetch")
"""Named in `prompts/worker.system.md` as well; a person is asked about the last two, unless the launch allows them."""


@skill("task", allowed_tools=("write_file", "edit_file"))
async def task(ctx: Context, task: Annotated[str, Field(pattern=r"\S")]) -> str:
    """Do a task in the folder that the run is launched from, with an agent that reads, searches and writes files.

    Before it runs a command or reads a page of the web it asks a person.

    Args:
        task: What is to be done, with all that one has to know for it.
    """
    system = load_prompt(__file__, "worker.system", {"project": ctx.project_dir or "the run's own folder"})
    answer = await ctx.agent(task, tools=TOOLS, system=system, role="worker")
    await ctx.report(answer)
    return answer
