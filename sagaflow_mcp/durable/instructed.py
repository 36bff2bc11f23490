"""What runs a skill that is a SKILL.md alone: an agent with its text as the instruction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import agent_tools, mcp_names, prompts, skill_file

if TYPE_CHECKING:
    from sagaflow_mcp.durable.ctx import Context

SYSTEM = """\
You carry out a skill in the background. Nobody watches, and nobody can answer a question of yours: where something \
is open, decide as a careful colleague would and say so at the end. Work with the tools that you have until the task \
is done. Your last message is the result, which a person reads later without having seen your work: begin it with one \
sentence that says what came of it.

The working folder is {project}. The skill's own files are in {skill}.{lacking}"""

LACKING = """

The skill asks for tools that there are not here: {names}. Do without them as far as that is possible, and say at the \
end what could not be done."""


def allowed_tools(file: str) -> list[str]:
    """The tools that the SKILL.md beside `file` lets its agent use without asking. Refusal when it cannot be read."""
    found, _ = agent_tools.of_claude_code(skill_file.allowed_tools(prompts.load_skill_file(file)))
    return found


async def work(ctx: Context, file: str, arguments: str) -> str:
    """What the agent says when it is done; the run's report has it too.

    Args:
        ctx: the run's.
        file: of the module beside which the SKILL.md is.
        arguments: what the user gave along.

    Raises:
        StepFailedError: as `Context.agent` says.
        Refusal: the SKILL.md cannot be read.
    """
    text, folder = prompts.load_skill_file(file), str(Path(file).parent)
    allowed, lacking = agent_tools.of_claude_code(skill_file.allowed_tools(text))
    tools = [*agent_tools.TOOLS, *mcp_names.among(allowed)]
    system = SYSTEM.format(
        project=ctx.project_dir or "none",
        skill=folder,
        lacking=LACKING.format(names=", ".join(lacking)) if lacking else "",
    )
    instruction = skill_file.instruction(text, arguments, folder)
    result = await ctx.agent(instruction, tools=tools, system=system, folder=folder)
    await ctx.report(result)
    return result
