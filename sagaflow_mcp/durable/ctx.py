"""`ctx`: what a skill that is one function does its work with. Each call is a checkpoint that survives any crash."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from temporalio import workflow
from temporalio.common import RetryPolicy

from sagaflow_mcp import agent_tools, artifacts
from sagaflow_mcp.durable import agents, asking, children, lanes, memory, run_state
from sagaflow_mcp.durable.activities import WriteArtifactInput
from sagaflow_mcp.durable.agents import Agent
from sagaflow_mcp.durable.function_activities import RunFunctionInput, reference
from sagaflow_mcp.durable.prompting import Prompter
from sagaflow_mcp.typed import as_type, hints

if TYPE_CHECKING:
    import random
    import uuid
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from pydantic import BaseModel

    from sagaflow_mcp.durable.lanes import Results
    from sagaflow_mcp.durable.memory import Memory
    from sagaflow_mcp.durable.progress_notes import ProgressNotes
    from sagaflow_mcp.durable.prompting import Reply

T = TypeVar("T")
S = TypeVar("S")
M = TypeVar("M", bound="BaseModel")

STEP_TIMEOUT = timedelta(minutes=10)
"""How long one attempt at a `step` may take, unless its caller says otherwise."""

FILE_TIMEOUT = timedelta(seconds=60)
"""How long writing a file or an entry may take."""

STEP_POLICY = RetryPolicy(
    initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1), maximum_attempts=3
)
"""A `step` is tried three times, unless its caller says otherwise."""

NOTHING: Any = object()
"""Stands for a default that was not given."""


class Context:
    """Handed to the function as its first parameter."""

    def __init__(self, file: str, remembered: Memory, notes: ProgressNotes, allowed_tools: Sequence[str] = ()) -> None:
        self._memory = remembered
        self._allowed_tools = allowed_tools
        self._prompter = Prompter(file, remembered)
        self._progress = notes

    @property
    def run_id(self) -> str:
        """The run's id."""
        return str(run_state.current().envelope.get("run_id", ""))

    @property
    def project_dir(self) -> str:
        """The folder that the run was launched from; empty where there was none."""
        return str(run_state.current().envelope.get("project_dir", ""))

    @overload
    async def prompt(
        self, role: str, /, *, tier: str = ..., output: None = ..., max_tokens: int = ..., **vars: object
    ) -> Reply: ...

    @overload
    async def prompt(
        self, role: str, /, *, tier: str = ..., output: type[str], max_tokens: int = ..., **vars: object
    ) -> str: ...

    @overload
    async def prompt(
        self, role: str, /, *, tier: str = ..., output: type[M], max_tokens: int = ..., **vars: object
    ) -> M: ...

    async def prompt(
        self,
        role: str,
        /,
        *,
        tier: str = "SONNET",
        output: type[M | str] | None = None,
        max_tokens: int = 4096,
        **vars: object,
    ) -> Reply | str | M:
        """The model's reply to `prompts/<role>.user.md`, with `prompts/<role>.system.md` where there is one.

        Args:
            role: the prompts' name, and what the step is called.
            tier: `HAIKU`, `SONNET` or `OPUS`.
            output: a Pydantic model to have an instance of, or `str` for the whole text, instead of the fields of the
                structured block.
            max_tokens: the longest reply.
            vars: the values of the prompts' `$variables`.

        Raises:
            StepFailedError: the model refused, was cut off, could not be reached, or its reply does not fit `output`,
                also when asked again.
            Refusal: there is no such prompt, or a variable in it has no value.
        """
        given = self._prompter.rendered(role, tier, max_tokens, vars)
        if output is None:
            return await self._prompter.fields(given)
        if output is str:
            return await self._prompter.text(given)
        return await self._prompter.instance(given, cast("type[M]", output))

    @overload
    async def step(
        self,
        function: Callable[..., Awaitable[T]],
        *args: object,
        timeout: timedelta | float = ...,
        retry: RetryPolicy | int = ...,
    ) -> T: ...

    @overload
    async def step(
        self,
        function: Callable[..., T],
        *args: object,
        timeout: timedelta | float = ...,
        retry: RetryPolicy | int = ...,
    ) -> T: ...

    async def step(
        self,
        function: Callable[..., Any],
        *args: object,
        timeout: timedelta | float = STEP_TIMEOUT,
        retry: RetryPolicy | int = STEP_POLICY,
    ) -> Any:
        """What `function` returns, called outside the workflow: it may read the clock, files and the network.

        Args:
            function: a plain or `async` function at the top of a module. A plain one gets a thread of its own.
            args: its arguments; they and the result must be of types that Pydantic can write as JSON.
            timeout: how long one attempt may take, a `timedelta` or seconds.
            retry: a policy, or how often it is tried at most.

        Raises:
            StepFailedError: every attempt has failed; the message is the last one's.
            Refusal: it is no such function.
            ValueError: `retry` is less than 1.
        """
        if isinstance(retry, int) and retry < 1:
            raise ValueError(f"retry is {retry}; it must be at least 1, for one attempt, or a RetryPolicy")
        policy = dataclasses.replace(STEP_POLICY, maximum_attempts=retry) if isinstance(retry, int) else retry
        given = RunFunctionInput(function.__name__, reference(function), list(args))
        value = await self._memory.once(
            self._memory.key("step", [given.function, list(args)]),
            lambda: workflow.execute_activity(
                "run_function", given, start_to_close_timeout=_delta(timeout), retry_policy=policy
            ),
        )
        return as_type(hints(function, {"return"}).get("return"), value)

    @overload
    async def agent(
        self,
        task: str,
        /,
        *,
        tools: Iterable[str] = ...,
        output: None = ...,
        system: str = ...,
        tier: str = ...,
        max_turns: int = ...,
        max_tokens: int = ...,
        role: str = ...,
        folder: str | Path = ...,
    ) -> str: ...

    @overload
    async def agent(
        self,
        task: str,
        /,
        *,
        tools: Iterable[str] = ...,
        output: type[M],
        system: str = ...,
        tier: str = ...,
        max_turns: int = ...,
        max_tokens: int = ...,
        role: str = ...,
        folder: str | Path = ...,
    ) -> M: ...

    async def agent(
        self,
        task: str,
        /,
        *,
        tools: Iterable[str] = agent_tools.READING,
        output: type[M] | None = None,
        system: str = "",
        tier: str = "SONNET",
        max_turns: int = agents.TURNS,
        max_tokens: int = 8192,
        role: str = "agent",
        folder: str | Path = "",
    ) -> str | M:
        """What a model says once it has done `task` with tools. Each turn and each tool call is a checkpoint.

        Relative paths that it gives to tools start at the folder that the run was launched from.

        Args:
            task: what it is to do.
            tools: the names of those that it has, of `read_file`, `glob`, `grep`, `write_file`, `edit_file`, `bash`,
                `spawn_subagent` and `web_fetch`; the first three unless others are named. `bash` is confined to no
                folder. `mcp__<server>__<tool>` is one of an MCP server that the skill's `.mcp.json` or the user's
                `config.toml` names, `mcp__<server>` or `mcp__<server>__*` all of them. A person is asked before each
                call of one that does not only read files, unless the skill's `allowed_tools` or the launch name it.
            output: a Pydantic model to have an instance of, instead of the text.
            system: the system prompt.
            tier: `HAIKU`, `SONNET` or `OPUS`.
            max_turns: how many turns it has.
            max_tokens: the longest turn; one that is cut off goes on with the next.
            role: what its turns are called in progress and transcript.
            folder: one that it may read besides the folder of the launch and the run's own.

        Raises:
            StepFailedError: the model declined, could not be reached, was not done in so many turns, what it said
                does not fit `output`, also when asked again, or an MCP server or its tool is not to be had.
            Refusal: there is no such tool or tier, or `output` is no Pydantic model.
            ValueError: `max_turns` is less than 1, or `task` is blank.
            TypeError: `tools` is a text.
        """
        if isinstance(tools, str):
            raise TypeError(f"tools is the text {tools!r}; give a list of the names of tools")
        found = Agent(
            self._memory,
            role,
            tier=tier,
            system=system,
            tools=tuple(tools),
            allowed=self._allowed_tools,
            skill_dir=str(folder),
            max_tokens=max_tokens,
        )
        return await (found.work(task, max_turns) if output is None else found.instance(task, max_turns, output))

    async def map(
        self, function: Callable[[S], Awaitable[T]], items: Iterable[S], *, limit: int = lanes.LIMIT
    ) -> Results[T]:
        """What `function` returns for each of `items`, in their order, at most `limit` at a time.

        Raises:
            PartialFailureError: it failed for some, which it names; `error.results` has those of the others.
        """
        given = list(items)
        works = [functools.partial(function, item) for item in given]
        return await lanes.run(self._memory.lane("map"), works, given, limit)

    async def parallel(self, awaitables: Iterable[Awaitable[T]], *, limit: int = lanes.LIMIT) -> Results[T]:
        """What `awaitables` return, in their order, at most `limit` at a time.

        Raises:
            PartialFailureError: some failed, which it names; `error.results` has those of the others.
        """
        works = [functools.partial(_itself, each) for each in awaitables]
        return await lanes.run(self._memory.lane("parallel"), works, None, limit)

    async def child(self, skill: str, /, **arguments: object) -> Any:
        """What another skill returns, run as a part of this run: its files lie in `child-runs` in the run's folder.

        Raises:
            StepFailedError: it has failed, there is no such skill, or it does not take these arguments.
        """
        return await children.run(self._memory, skill, arguments)

    async def artifact(self, name: str, content: str) -> str:
        """The path of the file `name` in the run's folder, which now holds `content`, whole.

        Raises:
            StepFailedError: the name leads out of the run's folder, is too long, or is one of Sagaflow's own.
        """
        path: str = await self._memory.once(
            self._memory.key("artifact", [name, content]),
            lambda: workflow.execute_activity(
                "write_artifact",
                WriteArtifactInput(path=name, content=content),
                start_to_close_timeout=FILE_TIMEOUT,
                result_type=str,
            ),
        )
        return path

    async def report(self, markdown: str) -> str:
        """The path of the run's report, which is now `markdown`: it is what the inbox entry of the ending leads to."""
        return await self.artifact("report.md", markdown)

    def phase(self, name: str) -> None:
        """Say what the run is at from now on."""
        self._progress.phase(name)

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Say how far it has come in its phase: `done` of `total`."""
        self._progress.progress(done, total, note)

    def log(self, text: str) -> None:
        """Write a line into the run's own log, once: not again where the function is called again after a crash."""
        self._memory.recall(self._memory.key("log", text), lambda: workflow.logger.info("%s", text))

    async def ask(
        self,
        question: str,
        *,
        options: Sequence[str] = (),
        timeout: timedelta | float | None = None,
        default: Any = NOTHING,
    ) -> str:
        """What a person answers, however long that takes: the question is an entry in the inbox.

        Args:
            question: one line.
            options: the answers that are taken; none for any text.
            timeout: how long to wait, a `timedelta` or seconds; None for ever.
            default: what is returned when nobody has answered by then.

        Raises:
            TimeoutError: nobody has answered, and there is no `default`.
            TypeError: `options` is a text, or `timeout` is neither a `timedelta` nor a number.
        """
        if isinstance(options, str):
            raise TypeError(f"options is the text {options!r}; give a list of the answers that are taken")
        found = await asking.answer(
            self._memory, question, tuple(options), None if timeout is None else _delta(timeout)
        )
        if found is not None:
            return found
        if default is NOTHING:
            raise TimeoutError(f"nobody has answered in time: {question}")
        answer: str = default
        return answer

    async def sleep(
        self, duration: timedelta | float = 0, *, days: float = 0, hours: float = 0, minutes: float = 0
    ) -> None:
        """Wait so long, also while the machine is off.

        Args:
            duration: a `timedelta` or seconds, to which the others add.
            days: of 24 hours.
            hours: of 60 minutes.
            minutes: of 60 seconds.

        Raises:
            TypeError: `duration` is neither a `timedelta` nor a number.
            ValueError: it is negative.
        """
        limit = _delta(duration) + timedelta(days=days, hours=hours, minutes=minutes)
        if limit < timedelta(0):
            raise ValueError(f"ctx.sleep was given {limit.total_seconds():g} seconds, which are negative")
        key = self._memory.key("sleep", limit.total_seconds())
        left = self._memory.deadline(key, limit)
        await self._memory.once(key, lambda: _slept(key, left), is_waiting=True)

    def now(self) -> datetime:
        """The time, in UTC: the same on every replay."""
        told = self._memory.recall(self._memory.key("now", ""), lambda: workflow.now().isoformat())
        return datetime.fromisoformat(told)

    def random(self) -> random.Random:
        """A source of random numbers, the same on every replay."""
        return self._memory.random()

    def uuid(self) -> uuid.UUID:
        """A random UUID, the same on every replay."""
        return memory.uuid_of(self._memory.random())


async def _slept(key: str, left: timedelta) -> None:
    if not workflow.unsafe.is_replaying():
        with workflow.unsafe.sandbox_unrestricted():
            run_dir = Path(str(run_state.current().envelope.get("run_dir", "")))
            until = (workflow.now() + left).isoformat().replace("+00:00", "Z")
            artifacts.note_event(run_dir, "sleep_began", id=key, until=until)
    await asyncio.sleep(left.total_seconds())


def _delta(given: timedelta | float) -> timedelta:
    if isinstance(given, timedelta):
        return given
    if not isinstance(given, int | float) or isinstance(given, bool):
        raise TypeError(f"{given!r} is no time; give a timedelta or a number of seconds")
    return timedelta(seconds=given)


def _itself(awaitable: Awaitable[T]) -> Awaitable[T]:
    return awaitable
