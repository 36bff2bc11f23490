"""Which calls a person is asked about before they are made, and what the person is told of one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from sagaflow_mcp import mcp_names, records
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sagaflow_mcp.agent_tools._workspace import Workspace

DETAILS_LIMIT = 20_000
"""How much of a call a person is shown at most, in characters."""


class Asked(NamedTuple):
    """What a person is asked about a call."""

    question: str
    """One line."""
    details: str
    """All that the call is given."""


def covers(allowed: Iterable[str], name: str) -> bool:
    """Whether `allowed` names the tool `name`, or all tools of its MCP server."""
    return any(mcp_names.covers(each, name) for each in allowed)


def about(name: str, given: Mapping[str, Any], workspace: Workspace) -> Asked | None:
    """What a person is asked about the call of the tool `name`; None where it needs nobody's leave.

    That is where it writes a file of the run's own, and where the tool will refuse it anyway.
    """
    if name in {"write_file", "edit_file"}:
        target = _anothers(given["path"], workspace)
        if target is None:
            return None
        given = {**given, "path": _with_target(given["path"], target, workspace)}
    values = {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}
    # Each by itself: what is padded would push the other values out of sight.
    share = DETAILS_LIMIT // max(len(values), 1)
    lines = [f"{key}: {records.middle_left_out(value, share)}" for key, value in values.items()]
    details = records.middle_left_out("\n".join(lines), DETAILS_LIMIT)
    first = next(iter(values.values()), "")
    return Asked(records.one_line(f"May an agent of this run use {name}? {first}"), _seen(details))


def _anothers(path: str, workspace: Workspace) -> Path | None:
    """The file `path` with every link followed; None where it cannot be written, or is one of the run's own."""
    try:
        target = workspace.writable(path)
    except Refusal:
        return None
    return None if workspace.run_files in target.parents else target


def _with_target(path: str, target: Path, workspace: Workspace) -> str:
    """`path`, and the file that it comes to where a link or `..` hides that."""
    shown = workspace.shown(target)
    return path if path in {shown, str(target)} else f"{path} (which is {shown})"


def _seen(text: str) -> str:
    """`text` with an escape for each character that cannot be seen."""
    # Not left out: what is asked about would then do something else than what is shown.
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)
