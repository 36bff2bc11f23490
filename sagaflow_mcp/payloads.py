"""The payload converter of workers: Pydantic's, made once.

The SDK makes a converter for every payload that it binds to a workflow; Pydantic's takes a millisecond each time.
"""

from __future__ import annotations

from temporalio.contrib.pydantic import PydanticPayloadConverter
from temporalio.converter import CompositePayloadConverter

_CONVERTERS = tuple(PydanticPayloadConverter().converters.values())
"""They keep nothing between two payloads."""


class SharedPydanticConverter(CompositePayloadConverter):
    """As `PydanticPayloadConverter`."""

    def __init__(self) -> None:
        super().__init__(*_CONVERTERS)
