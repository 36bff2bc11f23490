"""Replies as instances of a Pydantic model: the schema that is asked for, the reading, and the second asking."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from sagaflow_mcp import records, structured_output
from sagaflow_mcp.durable.memory import StepFailedError
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from sagaflow_mcp.durable.prompt_activities import PromptInput

M = TypeVar("M", bound=BaseModel)

SHOWN = 3
"""How many of a reply's faults are told."""


class MisfitError(Exception):
    """A reply is no instance of the model; the message says why."""


def schema(output: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of `output`; Refusal when it is no Pydantic model."""
    if not (isinstance(output, type) and issubclass(output, BaseModel)):
        raise Refusal(f"output is {output!r}; it must be a class that derives from pydantic.BaseModel")
    return output.model_json_schema()


def wanting(given: PromptInput, schema: dict[str, Any]) -> PromptInput:
    """The same request for an object that fits `schema`."""
    return dataclasses.replace(given, schema=schema)


def parse(output: type[M], text: str) -> M:
    """The instance that `text` holds as JSON, alone or in a code fence; MisfitError when it holds none."""
    try:
        return output.model_validate_json(structured_output.json_text(text))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False)
        told = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'the reply'}: {each['msg']}" for each in faults[:SHOWN])
        raise MisfitError(records.one_line(told, 600)) from None


def failure(what: str, output: type[BaseModel], misfit: MisfitError) -> StepFailedError:
    """How a step fails in which `what` the model said did not fit twice."""
    return StepFailedError(
        f"{what} does not fit {output.__name__}, also when asked again: {misfit}", type="Misfit", non_retryable=True
    )


def repair(given: PromptInput, text: str, misfit: MisfitError) -> PromptInput:
    """The same request once more, with what was wrong with the reply `text`."""
    user = (
        f"{given.user}\n\nYour last reply was:\n\n{text}\n\nIt does not fit the schema: {misfit}. "
        f"Reply again, with nothing but one JSON object that fits this schema: {json.dumps(given.schema)}"
    )
    return dataclasses.replace(given, user=user)
