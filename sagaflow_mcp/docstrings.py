"""What a docstring says of a function's parameters."""

from __future__ import annotations

import inspect
import re

_PARAMETER = re.compile(r"\*{0,2}(\w+)(?: \([^)]*\))?:\s*(.*)")


def parameters(text: str) -> dict[str, str]:
    """The text of each parameter in the section `Args:` of a docstring, which must be clean of its indentation."""
    found: dict[str, list[str]] = {}
    lines = iter(inspect.cleandoc(text).splitlines())
    if not any(line.strip() in {"Args:", "Arguments:", "Parameters:"} for line in lines):
        return {}
    indent, words = 0, []
    for line in lines:
        if not line.strip():
            continue
        depth = len(line) - len(line.lstrip())
        if not depth:
            break
        indent = indent or depth
        parameter = _PARAMETER.fullmatch(line.strip()) if depth == indent else None
        if parameter:
            words = found[parameter[1]] = []
        words.append(parameter[2] if parameter else line.strip())
    return {name: " ".join(text for text in said if text) for name, said in found.items()}
