from __future__ import annotations

import asyncio
import os
import threading
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel
from temporalio import workflow

from sagaflow_mcp import PartialFailureError, skill

if TYPE_CHECKING:
    from sagaflow_mcp import Context


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class City(BaseModel):
    name: str
    people: int


class Wish(BaseModel):
    color: Color = Color.RED
    tags: list[str] = []


WISH = Wish()

MEETING = threading.Barrier(40)
"""More steps than the 32 threads that asyncio has at most."""


def pid(folder: Path) -> str:
    return f"{folder.name} {os.getpid()}"


async def grown(city: City) -> City:
    return City(name=city.name, people=city.people + 1)


def meet() -> None:
    MEETING.wait(20)


def picky(number: int) -> int:
    if number == 3:
        raise ValueError(f"not {number}")
    return 2 * number


@skill("one-function", allowed_tools=["bash", "write_file"])
async def one_function(
    ctx: Context,
    what: str,
    count: int = 10,
    wish: Wish = WISH,
    where: Path = Path("here"),
    colors: list[Color] | None = None,
    name: str = "out.txt",
) -> object:
    """Do one of many things.

    Args:
        what: which of them.
        count: how many,
            or how long.
    """
    return await globals()[f"do_{what}"](ctx=ctx, count=count, wish=wish, where=where, colors=colors, name=name)


async def do_map(ctx: Context, count: int, **_: object) -> object:
    ctx.phase("asking")
    found = await ctx.map(lambda item: ctx.prompt("one", tier="haiku", item=item), range(count))
    ctx.progress(count, count, "all of them")
    return [reply["RESPONSE"] for reply in found]


async def do_agent(ctx: Context, count: int, name: str, **_: object) -> object:
    return await ctx.agent(f"Look at {name}", tools=("read_file", "write_file"), max_turns=count)


async def do_agent_with_output(ctx: Context, count: int, **_: object) -> object:
    city = await ctx.agent("Find the city", output=City, max_turns=count)
    return [type(city).__name__, city.name, city.people]


async def do_agent_with_bash(ctx: Context, **_: object) -> object:
    return await ctx.agent("Run it", tools=["bash"])


async def do_agent_until_told(ctx: Context, **_: object) -> object:
    working = asyncio.ensure_future(ctx.agent("Share it out", tools=["bash", "spawn_subagent"]))
    await ctx.ask("enough?")
    working.cancel()
    await workflow.wait([working])
    await ctx.ask("go on?")
    return "stopped"


async def do_agent_with_subagents(ctx: Context, **_: object) -> object:
    return await ctx.agent("Share it out", tools=["read_file", "spawn_subagent"])


async def do_agent_of_text(ctx: Context, **_: object) -> object:
    return await ctx.agent("Look", tools="read_file")


async def do_types(wish: Wish, where: Path, colors: list[Color], **_: object) -> object:
    return [wish.color is Color.BLUE, wish.tags, str(where), [color.name for color in colors or []]]


async def do_steps(ctx: Context, where: Path, **_: object) -> object:
    city = await ctx.step(grown, City(name="Oslo", people=1))
    return [city.people, (await ctx.step(pid, where)).split()[0]]


async def do_meet(ctx: Context, **_: object) -> object:
    return len(await ctx.parallel((ctx.step(meet, retry=1) for _ in range(40)), limit=40))


async def do_failures(ctx: Context, count: int, **_: object) -> object:
    try:
        await ctx.map(lambda number: ctx.step(picky, number, retry=1), range(count))
    except PartialFailureError as error:
        return [error.message, error.results, error.results.failures, error.results.succeeded]
    return "nothing failed"


async def do_failing(ctx: Context, **_: object) -> object:
    return await ctx.parallel(ctx.step(picky, number, retry=1) for number in (2, 3))


async def do_output(ctx: Context, **_: object) -> object:
    city = await ctx.prompt("one", item="city", output=City)
    return [type(city).__name__, city.name, city.people]


async def do_unknown_prompt(ctx: Context, **_: object) -> object:
    return await ctx.prompt("nothing")


async def do_artifact(ctx: Context, name: str, **_: object) -> object:
    return await ctx.artifact(name, "content")


async def do_report(ctx: Context, **_: object) -> object:
    return await ctx.report("# All is well")


async def do_repeatable(ctx: Context, **_: object) -> object:
    before = ctx.now()
    await ctx.sleep(0.2)
    first, second = ctx.random().random(), ctx.random().random()
    return [ctx.now() > before, first != second, ctx.uuid().version]


async def do_sleep(ctx: Context, count: int, **_: object) -> object:
    begun = ctx.now()
    await ctx.sleep(days=count)
    return (ctx.now() - begun).days


async def do_sleep_beside(ctx: Context, count: int, **_: object) -> object:
    _, reply = await ctx.parallel([ctx.sleep(days=count), ctx.prompt("one", item=1)])
    return reply["RESPONSE"]


async def do_ask_for_ever(ctx: Context, **_: object) -> object:
    return await ctx.ask("Shall it be done?")


async def do_ask(ctx: Context, count: int, **_: object) -> object:
    return await ctx.ask("Shall it be done?", options=["Yes", "No"], timeout=count)


async def do_ask_twice(ctx: Context, **_: object) -> object:
    return await ctx.parallel([ctx.ask("First?"), ctx.ask("Second?")])


async def do_child(ctx: Context, name: str, count: int, **_: object) -> object:
    return await ctx.child("one-function", what=name, count=count)


async def do_missing_child(ctx: Context, **_: object) -> object:
    return await ctx.child("one-functoin")


async def do_endless(ctx: Context, **_: object) -> object:
    return await ctx.child("one-function", what="endless")


async def do_long(ctx: Context, count: int, **_: object) -> object:
    seed, begun = ctx.random().random(), ctx.now()
    first = await ctx.step(noted, "first")
    answer = await ctx.ask("Go on?")
    replies = await ctx.map(lambda item: ctx.prompt("one", item=item), range(count), limit=5)
    await ctx.sleep(0.1)
    same = [reply["RESPONSE"] for reply in replies] == [f"got {number}" for number in range(count)]
    return [first, answer, same, seed == ctx.random().random(), ctx.now() > begun, workflow.info().continued_run_id]


async def do_full(ctx: Context, count: int, **_: object) -> object:
    asked = ctx.ask("Which colour?")
    answer, replies = await asyncio.gather(
        asked, ctx.map(lambda item: ctx.prompt("one", item=item), range(count), limit=2)
    )
    return [answer, len(replies)]


def noted(word: str) -> str:
    return word


async def do_field(ctx: Context, **_: object) -> object:
    return (await ctx.prompt("one", item=1))["GREETING"]


async def do_lambda(ctx: Context, **_: object) -> object:
    return await ctx.step(lambda: 1)


async def do_never(ctx: Context, **_: object) -> object:
    return await ctx.step(picky, 1, retry=0)


async def do_clock(**_: object) -> object:
    return datetime.now(UTC)


class OddError(Exception):
    pass


async def do_odd(ctx: Context, count: int, **_: object) -> object:
    async def odd(number: int) -> int:
        if number % 2:
            raise OddError(f"{number} is odd")
        return number

    return await ctx.map(odd, range(count), limit=2)


async def do_not_async(ctx: Context, **_: object) -> object:
    return await ctx.map(str, [1])


async def do_unknown_type(ctx: Context, **_: object) -> object:
    return await ctx.step(of_unknown_type, 1)


def of_unknown_type(context: Context) -> str:
    return str(context)


async def do_text(ctx: Context, **_: object) -> object:
    return await ctx.prompt("one", output=str, item=7)
