"""The plugin's own settings, which Claude Code asks its user for, as the variables that the rest of Sagaflow reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagaflow_mcp import ways

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "SAGAFLOW_OPTION_"
"""`plugin.json` hands each of them over in a variable that begins so."""

MEANS = {
    "API_KEY": "ANTHROPIC_API_KEY",
    "BASE_URL": "ANTHROPIC_BASE_URL",
    "HOME": "SAGAFLOW_HOME",
    "NOTIFY": "SAGAFLOW_NOTIFY",
    **{way.upper(): ways.variable(way) for way in ways.ALL},
}
"""The variable that each of them stands for."""


def applied(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with the plugin's settings in it: what was set for the plugin goes before what was set for everything.

    Empty means unset. `hooks/run.sh` does the same for the home.
    """
    found = {name: value for name, value in environ.items() if not name.startswith(PREFIX)}
    for option, variable in MEANS.items():
        if environ.get(PREFIX + option):
            found[variable] = environ[PREFIX + option]
    return found
