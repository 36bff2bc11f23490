"""The launcher in a project whose settings say what it runs."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from tests.integration.launched import LEGACY, MODERN, Launched, small_server

if TYPE_CHECKING:
    from pathlib import Path


def session(folder: Path, **env: str) -> dict[str, str]:
    """The environment of a session in a project whose settings set `env`."""
    project = folder / "project"
    project.joinpath(".claude").mkdir(parents=True)
    project.joinpath(".claude", "settings.json").write_text(json.dumps({"env": env}), encoding="utf-8")
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "CLAUDE_PROJECT_DIR": str(project), **env}


@pytest.mark.parametrize("version", [MODERN, LEGACY])
def test_a_server_that_a_project_names_is_run_only_once_the_user_allows_it(tmp_path: Path, version: str) -> None:
    """The handshake is as ever; each call is told; the next call after the cure works, in the same session."""
    command = small_server(tmp_path)
    with Launched(version, session(tmp_path, SAGAFLOW_SERVER=command)) as launched:
        launched.begin()
        launched.call(1, "echo", text="one")
        told = launched.said(1)
        assert told.startswith("SAGAFLOW_SERVER is ")
        assert "\n" not in told
        config = tmp_path / ".sagaflow" / "config.toml"
        config.parent.mkdir(mode=0o700)
        config.write_text(f"[projects]\nserver = {json.dumps(command)}\n", encoding="utf-8")
        launched.call(2, "echo", text="two")
        assert launched.said(2) == "two"


@pytest.mark.parametrize("variable", ["HOME", "CLAUDE_CONFIG_DIR"])
def test_nothing_is_built_or_run_from_a_folder_that_a_project_names(tmp_path: Path, variable: str) -> None:
    """Older versions of Claude Code let a project choose where the plugin's environment lies."""
    evil = tmp_path / "evil"
    environ = session(tmp_path, **{variable: str(evil)})
    with Launched(MODERN, {**environ, "CLAUDE_PLUGIN_DATA": str(evil / "data")}) as launched:
        launched.begin()
        launched.call(1, "echo", text="one")
        assert launched.said(1).startswith(f"{variable} is '{evil}', which ")
    assert not evil.exists()
