"""A newer version takes over from an older one, whose runs go on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import sagaflow_mcp
from sagaflow_mcp import engine_client
from sagaflow_mcp.testing import LocalSagaflow
from tests.phases import ANSWERED, SKILLS, ThreeRuns

OLDER = "0.0.9"


def older_version(folder: Path) -> Path:
    """A folder to import from, in which this package says that it is of an older version."""
    package = Path(sagaflow_mcp.__file__).parent
    copy = shutil.copytree(package, folder / "sagaflow_mcp", ignore=shutil.ignore_patterns("__pycache__"))
    start = Path(copy, "__init__.py")
    text = start.read_text(encoding="utf-8")
    start.write_text(text.replace(f'"{sagaflow_mcp.__version__}"', f'"{OLDER}"'), encoding="utf-8")
    return folder


def test_runs_of_an_older_version_go_on_in_a_newer_one(tmp_path: Path) -> None:
    """In every phase, with no finished step taken again; the next launch replaces the engine and its worker."""
    with LocalSagaflow(skills=[SKILLS]) as local:
        environ = {**local.environment(), "PYTHONPATH": str(older_version(tmp_path))}

        def launch(where: str, gate: str) -> str:
            """Launch with the older version."""
            command = [sys.executable, "-m", "sagaflow_mcp", "launch", "phases", "--where", where, "--gate", gate]
            done = subprocess.run(
                [*command, "--json"], env=environ, cwd=tmp_path, stdout=subprocess.PIPE, check=True, timeout=60
            )
            return str(json.loads(done.stdout)["run_id"])

        runs = ThreeRuns(local, launch)
        runs.wait_until_halted()
        before = engine_client.status(local.settings.home) or {}
        assert before["version"] == OLDER

        newer = local.launch("phases", where="newer")
        runs.let_go()
        runs.ends()
        assert local.wait(newer).result == ANSWERED
        after = engine_client.status(local.settings.home) or {}
        assert after["version"] == sagaflow_mcp.__version__
        assert after["worker"]["pid"] != before["worker"]["pid"]
