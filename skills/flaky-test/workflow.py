"""The skill that finds out how often a test fails, and why: hypotheses, which experiments confirm or refute."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, Field

from sagaflow_mcp import Context, StepFailedError, agent_tools, changes, skill
from sagaflow_mcp.prompts import load_prompt

from .counts import KEPT_RUNS, Attempt, Series, attempt
from .findings import MOST_EXPERIMENTS, Conclusion, Experiment, Hypotheses, Reading, Tested, held
from .texts import all_of, experiments, hypothesis, numbers, plain, report, samples, verdicts

MARGIN_SECONDS = 60
"""How much longer than its command a step may take."""

KEPT_FAILURES = 10
"""Of how many failures of a series the output is a file of the run."""

UNREADABLE = frozenset({"Misfit", "TooManyTurns"})
"""Failures of an agent without which the numbers are still worth a report."""

M = TypeVar("M", bound=BaseModel)


# The agents only read. `bash` is declared since the run itself runs the commands that they propose, without asking.
@skill("flaky-test", allowed_tools=("bash",))
async def flaky_test(
    ctx: Context,
    command: Annotated[str, Field(pattern=r"\S")],
    runs: Annotated[int, Field(ge=2, le=500)] = 30,
    parallel: Annotated[int, Field(ge=1, le=32)] = 1,
    timeout: Annotated[float, Field(gt=0, le=7200)] = 600,  # noqa: ASYNC109 - an argument of the launch
) -> str:
    """Run a test many times in the folder of the launch, and find out by experiments why it fails at times.

    Args:
        command: The shell command that runs the test; it fails with an exit status other than 0.
        runs: How often it is run, and each variation of it.
        parallel: How many runs there are at the same time.
        timeout: How long one run may take, in seconds; one that takes longer has failed.
    """
    before = await ctx.step(changes.note, ctx.project_dir)
    ctx.phase("counting failures")
    baseline = await _series(ctx, Experiment.of(command, parallel), runs, timeout, "baseline")
    if baseline.is_plain:
        await ctx.report(plain(command, baseline))
        return f"`{command}` {baseline.gist}"
    # What the test itself writes is no fault of an experiment.
    usual = frozenset((await ctx.step(changes.since, ctx.project_dir, before)).paths)
    ctx.phase("forming hypotheses")
    given = {"command": command, "parallel": parallel, "numbers": numbers(baseline), "samples": samples(baseline)}
    found = await _asked(ctx, "investigator", given, Hypotheses)
    tested = [Tested(each) for each in (found.hypotheses if found else [])]
    for number, each in enumerate(tested, start=1):
        ctx.phase(f"testing hypothesis {number} of {len(tested)}")
        await _test(ctx, f"hypothesis-{number}", each, baseline, timeout, usual=usual)
        if each.spoiled:
            break  # What runs from now on is no longer what the baseline was.
    ctx.phase("concluding")
    given = {
        "command": command,
        "numbers": numbers(baseline),
        "hypotheses": all_of(tested),
        "samples": samples(baseline),
    }
    conclusion = await _asked(ctx, "reporter", given, Conclusion) if tested else None
    ranked = held(tested, conclusion)
    await ctx.report(report(command, baseline, ranked, conclusion))
    return f"`{command}` {baseline.gist}; {verdicts(ranked)}"


async def _series(ctx: Context, given: Experiment, runs: int, seconds: float, name: str) -> Series:
    """What comes of so many runs; each is a step, and the output of the first failures a file of the run."""
    done = 0

    async def one(number: int) -> Attempt:
        """One run, which knows its number."""
        nonlocal done
        environment = {**given.environment, "FLAKY_RUN": str(number)}
        kept = number <= KEPT_RUNS
        found = await ctx.step(
            attempt, given.command, ctx.project_dir, seconds, environment, kept, timeout=seconds + MARGIN_SECONDS
        )
        done += 1
        ctx.progress(done, runs, name)
        return found

    series = Series(list(await ctx.map(one, range(1, runs + 1), limit=given.parallel)))
    for number in series.kept[:KEPT_FAILURES]:
        failure = series.attempts[number - 1]
        await ctx.artifact(f"{name}/failure-{number}.txt", f"{given.command}\n{failure.outcome}\n\n{failure.output}")
    return series


async def _test(
    ctx: Context, name: str, under_test: Tested, baseline: Series, seconds: float, *, usual: frozenset[str]
) -> None:
    """Put a hypothesis to its experiment, and to others as long as what comes of it asks for one."""
    before = await ctx.step(changes.note, ctx.project_dir)
    following: Experiment | None = under_test.hypothesis.experiment
    while following is not None and under_test.may_go_on:
        place = f"{name}/experiment-{len(under_test.trials) + 1}"
        series = await _series(ctx, following, len(baseline.attempts), seconds, place)
        found = await ctx.step(changes.since, ctx.project_dir, before)
        under_test.add(following, series, baseline, sorted({*found.paths} - usual))
        given = {
            "hypothesis": hypothesis(under_test.hypothesis),
            "numbers": numbers(baseline),
            "experiments": experiments(under_test),
            "samples": samples(series),
            "left": MOST_EXPERIMENTS - len(under_test.trials),
        }
        reading = await _asked(ctx, "examiner", given, Reading)
        under_test.meaning = reading.meaning if reading else ""
        following = reading.next if reading else None


async def _asked(ctx: Context, role: str, given: dict[str, object], output: type[M]) -> M | None:
    """What an agent that only reads answers; None where its answer cannot be read."""
    task = load_prompt(__file__, f"{role}.user", given)
    system = load_prompt(__file__, f"{role}.system", {"project": ctx.project_dir})
    try:
        return await ctx.agent(task, tools=agent_tools.READING, system=system, output=output, role=role)
    except StepFailedError as error:
        if error.type not in UNREADABLE:
            raise
        return None
