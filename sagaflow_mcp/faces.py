"""The faces that Sagaflow has: a shell and an agent's session, each of which is told what its reader can do."""

from __future__ import annotations

from dataclasses import dataclass

from sagaflow_mcp import guard


@dataclass(frozen=True)
class Face:
    """Whom a cure is for: each of these is what that reader can do."""

    start_engine: str
    end_engine: str
    """Ends one that hangs; `{pid}` is its process."""
    hold_runs: str
    """Keeps open runs from going on; no cure, but this is where one looks for it."""
    see_inbox: str
    set_key: str
    hook: str
    """Puts our hook into Claude Code's settings; empty for a session, which may have it from the plugin."""
    allow: str = guard.FOR_SHELL
    """How a value is allowed that a project has set, as in `guard`."""


CLI = Face(
    start_engine="it starts with the next launch; `sagaflow engine logs` shows why it ended",
    end_engine="`sagaflow engine stop` ends it",
    hold_runs="they go on by themselves; `sagaflow engine stop` holds them up until the next session or command",
    see_inbox="`sagaflow inbox`",
    set_key="set ANTHROPIC_API_KEY (and ANTHROPIC_BASE_URL for a gateway) or log in to Claude Code, and launch again",
    hook="`sagaflow hook install`",
)
MCP = Face(
    start_engine="it starts with the next launch_workflow",
    end_engine="end process {pid}: another engine takes its place",
    hold_runs="they go on without this session, and while the plugin is disabled; "
    "uninstalling it holds them up until it is installed again",
    see_inbox="list_inbox",
    set_key="end this session, set the plugin's api_key (/plugin configure sagaflow) or ANTHROPIC_API_KEY, "
    "and start Claude Code again",
    hook="",
    allow=guard.FOR_AGENT,
)
