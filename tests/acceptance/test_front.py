"""The front of the plugin's server, which finds a Python, and what stands in where there is none."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import TYPE_CHECKING

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp_types import TextContent

from tests.acceptance import tools

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

FRONT = tools.ROOT / "sagaflow_mcp" / "front.sh"
WITHOUT_PYTHON = tools.ROOT / "sagaflow_mcp" / "without_python.sh"
LIMIT = 60
"""Seconds that one test may take."""

SHELLS = [shell for shell in ("sh", "bash", "dash", "zsh", "ksh") if shutil.which(shell)]


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    """How the client finds out which protocol to speak."""
    return str(request.param)


def test_the_plugin_starts_the_front() -> None:
    """In exec form, with every setting handed over under the name that the launcher reads."""
    plugin = json.loads(tools.ROOT.joinpath(".claude-plugin", "plugin.json").read_text(encoding="utf-8"))
    server = plugin["mcpServers"]["sagaflow"]
    assert (server["command"], server["args"]) == ("sh", ["${CLAUDE_PLUGIN_ROOT}/sagaflow_mcp/front.sh"])
    assert server["env"] == {
        f"SAGAFLOW_OPTION_{key.upper()}": f"${{user_config.{key}}}" for key in plugin["userConfig"]
    }
    assert plugin["userConfig"]["api_key"]["sensitive"] is True


@pytest.mark.parametrize("python3", ["exit 127", "echo get one from the store", "exec false", ""])
async def test_a_python3_that_is_none_is_passed_over(mode: str, python3: str, tmp_path: Path) -> None:
    """Such as a shim without a version, or a stub that only says where to get one."""
    if python3:
        tmp_path.joinpath("python3").write_text(f"#!/bin/sh\n{python3}\n", encoding="utf-8")
        tmp_path.joinpath("python3").chmod(0o700)
    tmp_path.joinpath("python3.11").symlink_to(sys.executable)
    started = StdioServerParameters(
        command="/bin/sh",
        args=[str(FRONT)],
        env={"PATH": f"{tmp_path}:/bin:/usr/bin", "HOME": str(tmp_path), **tools.INSTALLED},
        cwd=tmp_path,
    )
    with anyio.fail_after(LIMIT):
        async with Client(started, mode=mode, read_timeout_seconds=LIMIT) as client:
            assert "launch_workflow" in {tool.name for tool in (await client.list_tools()).tools}


@pytest.mark.parametrize("shell", SHELLS)
async def test_without_python_every_call_is_one_clear_sentence(mode: str, shell: str, tmp_path: Path) -> None:
    """The handshake works, so that the model can be told."""
    started = StdioServerParameters(
        command=str(shutil.which(shell)), args=[str(WITHOUT_PYTHON)], env={"PATH": os.environ["PATH"]}, cwd=tmp_path
    )
    with anyio.fail_after(LIMIT):
        async with Client(started, mode=mode, read_timeout_seconds=LIMIT) as client:
            assert "Install one" in (client.instructions or "")
            (tool,) = (await client.list_tools()).tools
            assert (await client.list_resources()).resources == []
            assert (await client.list_resource_templates()).resource_templates == []
            assert (await client.list_prompts()).prompts == []
            result = await client.call_tool(tool.name, {})
            assert result.is_error
            (content,) = result.content
            assert isinstance(content, TextContent)
            assert content.text == client.instructions
