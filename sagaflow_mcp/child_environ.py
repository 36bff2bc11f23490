"""The environment of programs that steps start: the worker's, without what belongs to others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagaflow_mcp import credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

SESSION_VARIABLES = frozenset(
    {
        "CLAUDECODE",
        "CLAUDE_CODE_ENTRYPOINT",
        "CLAUDE_CODE_MESSAGING_SOCKET",
        "CLAUDE_CODE_MESSAGING_TOKEN",
        "CLAUDE_CODE_SESSION_ATTENDED",
        "CLAUDE_CODE_SESSION_ID",
        "CLAUDE_CODE_SSE_PORT",
        "CLAUDE_ENV_FILE",
        "CLAUDE_PID",
        "CLAUDE_PLUGIN_DATA",
        "CLAUDE_PLUGIN_ROOT",
        "CLAUDE_PROJECT_DIR",
    }
)
"""Variables of the session that happened to start the engine; a command that finds them takes itself for part of it."""


def of_child(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` without model credentials and without the session, with a mark that silences our own hook."""
    dropped = {*SESSION_VARIABLES, *credentials.NAMES}
    return {**{name: value for name, value in environ.items() if name not in dropped}, "SAGAFLOW_IN_RUN": "1"}
