"""This package as it would be in an older version."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import sagaflow_mcp

if TYPE_CHECKING:
    from sagaflow_mcp.testing import LocalSagaflow

OLDER = "0.0.9"
LIMIT_SECONDS = 60


class OlderVersion:
    """A copy in `folder` which says that it is older."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        package = Path(sagaflow_mcp.__file__).parent
        copy = shutil.copytree(package, folder / "sagaflow_mcp", ignore=shutil.ignore_patterns("__pycache__"))
        start = Path(copy, "__init__.py")
        text = start.read_text(encoding="utf-8")
        start.write_text(text.replace(f'"{sagaflow_mcp.__version__}"', f'"{OLDER}"'), encoding="utf-8")

    def launch(self, local: LocalSagaflow, skill: str, **arguments: str) -> str:
        """The id of a run that its command has launched."""
        words = [word for name, value in arguments.items() for word in (f"--{name}", value)]
        done = subprocess.run(
            [sys.executable, "-m", "sagaflow_mcp", "launch", skill, *words, "--json"],
            env={**local.environment(), "PYTHONPATH": str(self._folder)},
            cwd=self._folder,
            stdout=subprocess.PIPE,
            check=True,
            timeout=LIMIT_SECONDS,
        )
        return str(json.loads(done.stdout)["run_id"])
