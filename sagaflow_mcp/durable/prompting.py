"""A skill's prompts, put to a model as steps of a run."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from temporalio import workflow

from sagaflow_mcp import prompts, structured_output
from sagaflow_mcp.durable import typed_output
from sagaflow_mcp.durable.batches import Batches
from sagaflow_mcp.durable.prompt_activities import PromptInput, PromptReply
from sagaflow_mcp.durable.retry_policies import HAIKU_POLICY, OPUS_POLICY, SONNET_POLICY
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from sagaflow_mcp.durable.memory import Memory

M = TypeVar("M", bound="BaseModel")

TIMEOUT = timedelta(minutes=15)
"""How long one attempt at a model call may take; its heartbeats tell much sooner that its worker is gone."""

POLICIES = {"HAIKU": HAIKU_POLICY, "SONNET": SONNET_POLICY, "OPUS": OPUS_POLICY}


def check_tier(tier: str) -> None:
    """Return when there is such a model tier; Refusal when there is none."""
    if tier.upper() not in POLICIES:
        raise Refusal(f"model tier {tier!r} is not one of {', '.join(POLICIES)}")


class Reply(dict[str, str]):
    """The fields of a model's structured block; `{"RESPONSE": text}` where the reply has none."""

    def __missing__(self, key: str) -> str:
        raise MissingFieldError(key, list(self))


class MissingFieldError(KeyError):
    """A field was asked for that the reply has not."""

    def __init__(self, key: str, known: list[str]) -> None:
        super().__init__(key)
        self._known = known

    def __str__(self) -> str:
        return f"the model's reply has no field {self.args[0]!r}; it has {', '.join(self._known)}"


class Prompter:
    """Puts the prompts beside `file`, a module's `__file__`, to models, as the steps that a memory remembers."""

    def __init__(self, file: str, remembered: Memory) -> None:
        self._file = file
        self._memory = remembered
        self._batches = Batches()
        self._templates: dict[str, str] = {}
        self._schemas: dict[type, dict[str, object]] = {}

    def rendered(self, role: str, tier: str, max_tokens: int, variables: Mapping[str, object]) -> PromptInput:
        """The request that the prompts of `role` make with these variables.

        Raises:
            Refusal: there is no such prompt, a variable has no value, or the tier is none.
        """
        check_tier(tier)
        system = self._text_of(f"{role}.system", variables, is_needed=False)
        return PromptInput(role, tier, system, self._text_of(f"{role}.user", variables, is_needed=True), max_tokens)

    def _text_of(self, name: str, variables: Mapping[str, object], *, is_needed: bool) -> str:
        if name not in self._templates:
            there = is_needed or prompts.exists(self._file, name)
            self._templates[name] = prompts.load_prompt(self._file, name) if there else ""
        return prompts.render(self._file, name, self._templates[name], variables)

    async def fields(self, given: PromptInput) -> Reply:
        """The fields of the reply's structured block. StepFailedError when there is no whole reply."""
        return Reply(structured_output.parse(await self.text(given)).fields)

    async def instance(self, given: PromptInput, output: type[M]) -> M:
        """The reply as an instance of `output`; a reply that is none is asked for once more.

        Raises:
            StepFailedError: there is no whole reply, or none that fits.
            Refusal: `output` is no Pydantic model.
        """
        if output not in self._schemas:
            self._schemas[output] = typed_output.schema(output)
        first = typed_output.wanting(given, self._schemas[output])
        text = await self.text(first)
        try:
            return typed_output.parse(output, text)
        except typed_output.MisfitError as misfit:
            again = typed_output.repair(first, text, misfit)
        try:
            return typed_output.parse(output, await self.text(again))
        except typed_output.MisfitError as misfit:
            raise typed_output.failure(f"the reply to {given.role!r}", output, misfit) from None

    async def text(self, given: PromptInput) -> str:
        """The whole reply. StepFailedError when there is none."""
        key = self._memory.key("prompt", [given.role, given.tier, given.system, given.user, given.max_tokens])
        text: str = await self._memory.once(key, lambda: self._asked(replace(given, key=key)))
        return text

    async def _asked(self, given: PromptInput) -> str:
        text = await self._batches.text(given)
        if text is not None:
            return text
        reply: PromptReply = await workflow.execute_activity(
            "prompt_model",
            given,
            start_to_close_timeout=TIMEOUT,
            retry_policy=POLICIES[given.tier.upper()],
            result_type=PromptReply,
        )
        self._batches.learn(reply.seconds)
        return reply.text
