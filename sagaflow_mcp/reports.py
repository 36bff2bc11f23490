"""A run's result as text."""

from __future__ import annotations

import json


def result_text(result: object) -> str:
    """A run's result as text: a string as it is, anything else as JSON; empty for None."""
    if isinstance(result, str):
        return result
    return "" if result is None else json.dumps(result, ensure_ascii=False, default=str)
