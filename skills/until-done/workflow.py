"""The skill that works until the user's own commands pass and a judge agrees."""

from typing import Annotated

from pydantic import Field

from sagaflow_mcp import Context, StepFailedError, agent_tools, changes, commands, skill
from sagaflow_mcp.prompts import load_prompt

from .rounds import Round, Verdict, Work, changed, fenced, history, listed, report, told

WORKER_TOOLS = ("read_file", "glob", "grep", "write_file", "edit_file", "bash")
"""Named in `prompts/worker.system.md` as well."""

SHOWN_BYTES = 5_000
"""How much of the beginning of a command's output, and of its end, is kept and told."""

MARGIN_SECONDS = 60
"""How much longer than its command a step may take."""

UNREADABLE = frozenset({"Misfit", "TooManyTurns"})
"""Failures of an agent after which another one may do better."""

Text = Annotated[str, Field(pattern=r"\S")]


@skill("until-done", allowed_tools=("write_file", "edit_file", "bash"))
async def until_done(
    ctx: Context,
    goal: Text,
    commands: Annotated[list[Text], Field(min_length=1)],
    rounds: Annotated[int, Field(ge=1, le=100)] = 10,
    command_timeout: Annotated[float, Field(gt=0, le=7200)] = 600,
) -> str:
    """Work in the folder that the run is launched from until commands pass and a judge finds the goal reached.

    Args:
        goal: What is to be reached, with all that one has to know for it.
        commands: Shell commands that must all pass, run in that folder after each round of work.
        rounds: How many rounds of work there are at most.
        command_timeout: How long each of the commands may take, in seconds.
    """
    before = await ctx.step(changes.note, ctx.project_dir)
    done: list[Round] = []
    while len(done) < rounds and not (done and done[-1].is_last):
        number = len(done) + 1
        ctx.phase(f"round {number} of {rounds}")
        work = await _work(
            ctx,
            goal=goal,
            commands=listed(commands),
            limit=f"{command_timeout:g} s",
            number=number,
            rounds=rounds,
            history=history(done),
        )
        last = Round(number, work, await _run(ctx, commands, command_timeout, f"round-{number}/check"))
        found = await ctx.step(changes.since, ctx.project_dir, before)
        if last.passed:
            last.verdict = await _judged(ctx, goal, last, found)
        if last.is_approved:
            # Once more: what the commands say last must be that they pass.
            last.again = await _run(ctx, commands, command_timeout, f"round-{number}/again")
        done.append(last)
        await ctx.report(report(goal, done, rounds, found))
    if not done[-1].is_done:
        raise StepFailedError(done[-1].ending(rounds), type="NotDone", non_retryable=True)
    return done[-1].ending(rounds)


async def _work(ctx: Context, **given: object) -> Work:
    """What a worker says of its round; only what the commands say of it counts."""
    task = load_prompt(__file__, "worker.user", given)
    system = load_prompt(__file__, "worker.system", {"project": ctx.project_dir})
    try:
        return await ctx.agent(task, tools=WORKER_TOOLS, system=system, output=Work, role="worker")
    except StepFailedError as error:
        if error.type not in UNREADABLE:
            raise
        return Work(summary=f"(no report: {error.message})", status="ready")


async def _run(ctx: Context, given: list[str], seconds: float, name: str) -> list[commands.Result]:
    """What comes of each command, one after another; the outputs are files of the run."""
    results = []
    for number, command in enumerate(given, start=1):
        result = await ctx.step(check, command, ctx.project_dir, seconds, timeout=seconds + MARGIN_SECONDS)
        results.append(result)
        await ctx.artifact(f"{name}-{number}.txt", f"{command}\n{result.outcome}\n\n{result.output}")
    return results


async def check(command: str, folder: str, seconds: float) -> commands.Result:
    """What comes of one of the user's commands."""
    return await commands.run(command, folder, seconds, shown_bytes=SHOWN_BYTES)


async def _judged(ctx: Context, goal: str, last: Round, found: changes.Changes) -> Verdict:
    """What a judge says who has not done the work; one without a readable verdict has not agreed."""
    given = {
        "goal": goal,
        "results": told(last.results),
        "changes": changed(found),
        "diff": fenced(found.diff) if found.diff else "There is none: look at the files themselves.",
    }
    task = load_prompt(__file__, "judge.user", given)
    system = load_prompt(__file__, "judge.system", {"project": ctx.project_dir})
    try:
        return await ctx.agent(task, tools=agent_tools.READING, system=system, output=Verdict, role="judge")
    except StepFailedError as error:
        if error.type not in UNREADABLE:
            raise
        return Verdict(looked_at="", faults=[f"The judge gave no verdict: {error.message}"], verdict="not done")
