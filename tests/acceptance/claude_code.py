"""The real Claude Code with a home of its own, and the offline model in place of its own."""

from __future__ import annotations

import json
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tests import waiting
from tests.acceptance import tools
from tests.acceptance.terminals import Terminal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sagaflow_mcp.testing import LocalSagaflow

PLUGIN = "sagaflow@sagaflow"
SERVER = "plugin:sagaflow:sagaflow"
PREFIX = "mcp__plugin_sagaflow_sagaflow__"
TOOLS = {"launch_workflow", "list_inbox", "dismiss", "doctor", "get_run", "list_skills", "list_runs", "control_run"}
NOWHERE = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9", "ANTHROPIC_API_KEY": "offline"}
"""With the provider's own address, `claude plugin` would try for a quarter of a minute to reach it."""

FORM = [
    *("--output-format", "stream-json", "--verbose"),
    *("--allowedTools", ",".join(sorted(PREFIX + name for name in TOOLS))),
]
"""How a session reports, and what it may call without a question."""

LIMIT = 120
"""Seconds that one `claude` command may take, where it installs nothing."""


@dataclass(frozen=True)
class Session:
    """One headless session that has ended."""

    events: list[dict[str, Any]]

    def event(self, **wanted: str) -> dict[str, Any]:
        """The first event with these values."""
        return next(each for each in self.events if wanted.items() <= each.items())

    @property
    def session_id(self) -> str:
        """The id that `--resume` takes."""
        return str(self.event(type="result")["session_id"])


class LiveSession:
    """A session that takes prompts on its standard input; leaving the context closes that, and waits for its end."""

    def __init__(self, command: list[str], environ: Mapping[str, str], cwd: Path) -> None:
        self._process = subprocess.Popen(
            command, env=environ, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )
        self.replies: list[str] = []
        """The model's last words of each turn, those of turns that nobody has asked for too."""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.close()
            self._process.wait(LIMIT)
        finally:
            self._process.kill()
            self._reader.join()
            self._process.stdout.close()

    def say(self, prompt: str, reply: str) -> None:
        """Give it `prompt`, and wait for a turn that ends with `reply`."""
        assert self._process.stdin is not None
        said = {"type": "user", "message": {"role": "user", "content": prompt}}
        self._process.stdin.write(json.dumps(said) + "\n")
        self._process.stdin.flush()
        self.hear(reply)

    def hear(self, reply: str) -> None:
        """Wait for a turn that ends with `reply`."""
        waiting.eventually(lambda: reply in self.replies, f"{reply!r}; there is {self.replies}", 60)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("type") == "result":
                self.replies.append(str(event.get("result")))


class ClaudeCode:
    """Claude Code with a home of its own."""

    def __init__(self, folder: Path, commands: Path, *, seconds: float = LIMIT, **more: str) -> None:
        self.user = folder
        self._seconds = seconds
        self.project = folder / "project"
        self.project.mkdir(parents=True)
        self.data = folder / ".claude" / "plugins" / "data" / "sagaflow-sagaflow"
        self._environment = {
            "PATH": tools.path(commands),
            "HOME": str(folder),
            "CLAUDE_CONFIG_DIR": str(folder / ".claude"),
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_DISABLE_TERMINAL_TITLE": "1",
            "DISABLE_AUTOUPDATER": "1",
            # The server's tools are there, with their schemas, in the first request to the model.
            "ENABLE_TOOL_SEARCH": "false",
            "MCP_CONNECTION_NONBLOCKING": "0",
            "MCP_CONNECT_TIMEOUT_MS": "60000",
            **tools.INSTALLED,
            **more,
        }

    def run(self, *arguments: str, environ: Mapping[str, str] = NOWHERE) -> str:
        """What a `claude` command that succeeds prints."""
        environment = {**self._environment, **environ}
        return tools.run(["claude", *arguments], env=environment, cwd=self.project, seconds=self._seconds).stdout

    def ours(self, *arguments: str) -> str:
        """What a `sagaflow` command of the same user prints, where it succeeds."""
        return tools.run(["sagaflow", *arguments], env=self._environment, cwd=self.project).stdout

    def session(self, prompt: str, local: LocalSagaflow, *options: str) -> Session:
        """A session with one prompt, with `local` as its model and as the user's Sagaflow."""
        out = self.run("-p", prompt, *FORM, *options, environ=_ours(local))
        return Session([json.loads(line) for line in out.splitlines() if line.startswith("{")])

    def terminal(self, prompt: str, local: LocalSagaflow, *options: str, project: Path | None = None) -> Terminal:
        """The same in a terminal, where the user sees dialogs."""
        environment = {**self._environment, **_ours(local)}
        folder = project or self.project
        self._has_been_welcomed(environment["ANTHROPIC_API_KEY"], folder)
        command = ["claude", prompt, *FORM[-2:], *options]
        return Terminal(command, environment, folder, columns=160, seconds=60)

    def live(self, local: LocalSagaflow, **more: str) -> LiveSession:
        """A session without a terminal that goes on from prompt to prompt."""
        command = ["claude", "-p", "--input-format", "stream-json", *FORM]
        return LiveSession(command, {**self._environment, **_ours(local), **more}, self.project)

    def _has_been_welcomed(self, key: str, folder: Path) -> None:
        """Leave nothing that Claude Code would ask a new user first."""
        file = self.user / ".claude" / ".claude.json"
        known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        known |= {"hasCompletedOnboarding": True, "theme": "dark", "lastOnboardingVersion": "9.9.9"}
        known.setdefault("customApiKeyResponses", {})["approved"] = [key[-20:]]
        project = known.setdefault("projects", {}).setdefault(str(folder.resolve()), {})
        project |= {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
        file.write_text(json.dumps(known), encoding="utf-8")

    def begin(self, prompt: str, local: LocalSagaflow, *options: str) -> subprocess.Popen[bytes]:
        """The same, not waited for."""
        return subprocess.Popen(
            ["claude", "-p", prompt, *FORM, *options],
            env={**self._environment, **_ours(local)},
            cwd=self.project,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )


def _ours(local: LocalSagaflow) -> dict[str, str]:
    return {name: value for name, value in local.environment().items() if name.startswith(("ANTHROPIC_", "SAGAFLOW_"))}
