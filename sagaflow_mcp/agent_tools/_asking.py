"""Which calls a person is asked about before they are made, and what the person is told of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sagaflow_mcp import mcp_names, records
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
    path = given.get("path")
    if name in {"write_file", "edit_file"} and not _is_anothers(path, workspace):
        return None
    first = next((str(value) for value in given.values()), "")
    details = "\n".join(f"{key}: {value}" for key, value in given.items())
    left_out = len(details) - DETAILS_LIMIT
    if left_out > 0:
        details = f"{details[:DETAILS_LIMIT]}\n({left_out:,} more characters are not shown)"
    return Asked(records.one_line(f"May an agent of this run use {name}? {first}"), _seen(details))


def _is_anothers(path: object, workspace: Workspace) -> bool:
    """Whether `path` is a file that can be written, and not one of the run's own."""
    try:
        target = workspace.writable(path) if isinstance(path, str) else None
    except Refusal:
        return False
    return target is not None and workspace.run_files not in target.parents


def _seen(text: str) -> str:
    """`text` with an escape for each character that cannot be seen."""
    # Not left out: what is asked about would then do something else than what is shown.
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)
