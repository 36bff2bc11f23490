"""A run's result as files and people can take it."""

from __future__ import annotations

import json


def plain(result: object) -> object:
    """A run's result as JSON can hold it: bytes and NaN as text, and what JSON has no form for as its Python text."""
    if isinstance(result, bytes):
        return result.decode("utf-8", errors="backslashreplace")
    try:
        json.dumps(result, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError):
        return json.loads(json.dumps(result, default=str, skipkeys=True), parse_constant=str)
    return result


def result_text(result: object) -> str:
    """A run's result as text: a string as it is, anything else as JSON; empty for None."""
    if isinstance(result, str):
        return result
    return "" if result is None else json.dumps(result, ensure_ascii=False, default=str)
