"""The ways in which a session of Claude Code is told of an inbox entry. Each can be turned off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagaflow_mcp import project_env, simple_toml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagaflow_mcp.paths import Home

WAKE, MESSAGE, PROMPT, START = "wake", "message", "prompt", "start"
"""The terminal session that launched the run is woken; one without a terminal gets a message; with a session's next
prompt; when a session starts."""

ALL = (WAKE, MESSAGE, PROMPT, START)
"""Every way: a setting `[inbox]` has, and the plugin."""

TERMINAL = "cli"
"""What `CLAUDE_CODE_ENTRYPOINT` says of a session in a terminal."""

OFF = frozenset({"0", "false", "no", "off"})


def variable(way: str) -> str:
    """The variable that goes before the setting of `way`."""
    return f"SAGAFLOW_INBOX_{way.upper()}"


def is_on(way: str, home: Home, environ: Mapping[str, str]) -> bool:
    """Whether `way` may be used: the plugin's setting, the variable, `config.toml`, in this order. Never raises."""
    said = environ.get(project_env.OPTION + way.upper()) or environ.get(variable(way))
    if said:
        return said.lower() not in OFF
    return simple_toml.truth_in(home.config, f"inbox.{way}") is not False
