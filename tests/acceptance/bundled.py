"""A user's project in which bundled skills are launched by the command, and what comes of that."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import command_line
from tests.acceptance import tools

if TYPE_CHECKING:
    from sagaflow_mcp.testing import LocalSagaflow


class Project:
    """A folder `project` in `folder`, and a Sagaflow whose model has nothing to say yet."""

    def __init__(self, local: LocalSagaflow, folder: Path) -> None:
        self.local = local
        self.folder = folder / "project"
        self.folder.mkdir()
        local.model.replace()
        self._before = len(local.model.requests)

    def write(self, name: str, text: str) -> None:
        """Put a file of that content there."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def launch(self, skill: str, *words: str, below: str = "", **environ: str) -> tuple[int, str]:
        """The exit status of `sagaflow launch SKILL WORDS`, and the last line: what came, or why nothing did.

        Args:
            skill: its name.
            words: its arguments, and the command's.
            below: the folder that it is launched from, from the project's.
            environ: more variables for the command.
        """
        env = {**self.local.environment(), "PATH": tools.path(), **environ}
        done = command_line.in_process("launch", skill, *words, "--await", env=env, cwd=self.folder / below)
        return done.returncode, (done.stderr if done.returncode else done.stdout).strip().splitlines()[-1]

    def files(self, run_id: str) -> dict[str, str]:
        """The files that the run has left."""
        folder = Path(self.local.settings.home.root, "runs", run_id)
        return {each.name: each.read_text(encoding="utf-8") for each in folder.iterdir() if each.is_file()}

    def asked(self, words: str = "") -> list[Any]:
        """What the model was asked in this test that holds those words."""
        bodies = [each.body for each in self.local.model.requests[self._before :]]
        return [each for each in bodies if words in json.dumps(each, ensure_ascii=False)]


def section(report: str, title: str) -> str:
    """What stands below a title of the report, up to the next of its kind."""
    return re.split(r"^## ", report.partition(f"\n## {title}\n")[2], flags=re.MULTILINE)[0].strip()
