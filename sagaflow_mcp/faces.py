"""The faces that Sagaflow has: a shell and an agent's session, each of which is told what its reader can do."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import guard, records

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER_LIMIT = 300
"""The longest path that is put into a command, in characters."""


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
    set_api_key: str
    """The same where a login was ruled out."""
    set_claude: str
    """The same where a key was ruled out."""
    permit: str
    """Where a person decides whether an agent may make a call."""
    see_logs: str
    end_run: str
    """Ends the run `{run_id}`."""
    resume_run: str
    """Has the run `{run_id}`, which is paused, go on."""
    retry_run: str
    """Has the run `{run_id}`, which has failed, go on."""
    remove_schedule: str
    """Takes the schedule `{name}` away."""
    end_process: str
    """Ends the process `{pid}`, which nobody looks after."""
    make_room: str
    hook: str
    """Puts our hook into Claude Code's settings; empty for a session, which may have it from the plugin."""
    renew_service: str
    """Has the system's service run what is installed now."""
    allow: str = guard.FOR_SHELL
    """How a value is allowed that a project has set, as in `guard`."""
    trust: str = "look at its code, then run in a terminal: sagaflow skills trust {folder}"
    """How the skills of the project in `{folder}` are trusted; `{command}` is ours in a shell that knows nothing."""
    project: str = ""
    """The variable that names the project that one works in; where there is none, the working folder counts."""

    def how_to_trust(self, project: str, home: str) -> str:
        """What to do so that the skills of the project in the folder `project` are shown and run, in this `home`."""
        # A command that was made harmless would be another one.
        is_harmless = records.one_line(project, FOLDER_LIMIT) == project
        program = Path(sys.executable).with_name("sagaflow")
        command = f"SAGAFLOW_HOME={shlex.quote(home)} {shlex.quote(str(program))}"
        return self.trust.format(command=command, folder=shlex.quote(project) if is_harmless else ".")

    def way_to_a_model(self, transport: str) -> str:
        """What to do where there is no way to a model, with this `models.transport`."""
        return {"api": self.set_api_key, "claude": self.set_claude}.get(transport, self.set_key)

    def folder(self, environ: Mapping[str, str]) -> str:
        """The folder that a launch comes from, and a run belongs to; empty where it was removed meanwhile."""
        try:
            return environ.get(self.project) or str(Path.cwd())
        except OSError:
            return ""


CLI = Face(
    start_engine="it starts with the next launch; `sagaflow engine logs` shows why it ended",
    end_engine="`sagaflow engine stop` ends it",
    hold_runs="they go on by themselves; `sagaflow engine stop` holds them up until the next session or command",
    see_inbox="`sagaflow inbox`",
    set_key="set ANTHROPIC_API_KEY (and ANTHROPIC_BASE_URL for a gateway) or log in to Claude Code, and launch again",
    set_api_key="set ANTHROPIC_API_KEY (and ANTHROPIC_BASE_URL for a gateway), and launch again",
    permit="leave the answer out, and you are asked in the terminal: sagaflow answer RUN",
    set_claude="install Claude Code or set claude.command, or run `sagaflow config unset models.transport`",
    see_logs="`sagaflow engine logs` says why; the engine starts another if it stays silent",
    end_run="`sagaflow cancel {run_id}`",
    resume_run="`sagaflow resume {run_id}` lets it go on",
    retry_run="`sagaflow retry {run_id}` lets it go on",
    remove_schedule="`sagaflow schedule remove {name}` takes it away; add it again as it was",
    end_process="`sagaflow doctor --fix` ends it",
    make_room="`sagaflow gc` removes what is old and read",
    hook="`sagaflow hook install`",
    renew_service="`sagaflow service install`",
)
MCP = Face(
    start_engine="it starts with the next launch_workflow",
    end_engine="end process {pid}: another engine takes its place",
    hold_runs="they go on without this session, and while the plugin is disabled; "
    "uninstalling it holds them up until it is installed again",
    see_inbox="list_inbox",
    set_key="end this session, set the plugin's api_key (/plugin configure sagaflow) or ANTHROPIC_API_KEY, "
    "and start Claude Code again",
    set_api_key="end this session, set the plugin's api_key (/plugin configure sagaflow) or ANTHROPIC_API_KEY, "
    "and start Claude Code again",
    permit="control_run with action permission asks the user in a dialog",
    set_claude="name the claude command in claude.command of config.toml, or take models.transport out of it",
    see_logs="the engine starts another if it stays silent",
    end_run="control_run with cancel ends it: {run_id}",
    resume_run="control_run with resume lets it go on",
    retry_run="control_run with retry lets it go on",
    remove_schedule="launch_workflow with schedule remove and run_id {name} takes it away; make it again as it was",
    end_process="end process {pid}",
    make_room="dismiss what was read: once it is old it goes by itself, sooner with a smaller keep.runs_days",
    hook="",
    renew_service="in a terminal: sagaflow service install, with the command that is installed now",
    allow=guard.FOR_AGENT,
    trust="no tool can change that: a person has to look at its code, and run in a terminal of their own: "
    "{command} skills trust {folder}",
    project="CLAUDE_PROJECT_DIR",
)
