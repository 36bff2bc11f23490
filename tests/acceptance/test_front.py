"""The front of the plugin's server, which finds a Python, and what stands in where there is none."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tomllib
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
    assert server["command"] == "sh"
    assert server["args"] == ["${CLAUDE_PLUGIN_ROOT}/sagaflow_mcp/front.sh", "${CLAUDE_PLUGIN_DATA}"]
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


async def test_what_python_compiles_is_kept_in_the_data_folder_alone(tmp_path: Path) -> None:
    """And found there by the next session; without such a folder nothing is kept."""
    plugin, data = tools.copy_of_checkout(tmp_path / "plugin"), tmp_path / "the data"
    before = sorted(plugin.rglob("*"))

    async def compiled(*given: str) -> dict[str, int]:
        """The files of the data folder after a session, and when each was written."""
        started = StdioServerParameters(
            command="/bin/sh",
            args=[str(plugin / "sagaflow_mcp" / "front.sh"), *given],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **tools.INSTALLED},
            cwd=tmp_path,
        )
        async with Client(started, read_timeout_seconds=LIMIT) as client:
            await client.list_tools()
        return {str(path.relative_to(data)): path.stat().st_mtime_ns for path in data.rglob("*.pyc")}

    with anyio.fail_after(LIMIT):
        assert await compiled() == {}
        assert await compiled("${CLAUDE_PLUGIN_DATA}") == {}
        first = await compiled(str(data))
        assert any("launcher" in path for path in first)
        assert await compiled(str(data)) == first
    assert sorted(plugin.rglob("*")) == before


async def test_the_launcher_runs_on_the_oldest_python(mode: str, tmp_path: Path) -> None:
    """Also what the system's own python3 may be."""
    run = "import sys; sys.path.append(sys.argv[1]); from sagaflow_mcp import launcher; launcher.main()"
    started = StdioServerParameters(
        command=tools.oldest_python(),
        args=["-I", "-S", "-B", "-W", "error", "-c", run, str(tools.ROOT)],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **tools.INSTALLED},
        cwd=tmp_path,
    )
    with anyio.fail_after(LIMIT):
        async with Client(started, mode=mode, read_timeout_seconds=LIMIT) as client:
            assert "launch_workflow" in {tool.name for tool in (await client.list_tools()).tools}
            result = await client.call_tool("list_inbox", {})
            assert result.structured_content == {"unread": 0, "entries": []}


def test_what_the_system_s_python_starts_is_loaded_by_the_oldest_one(tmp_path: Path) -> None:
    """Not only parsed: a name that its standard library lacks would be found by a user."""
    targets = tomllib.loads(tools.ROOT.joinpath("pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]
    modules = [
        path.removesuffix(".py").replace("/", ".")
        for path in targets["per-file-target-version"]
        if path.startswith("sagaflow_mcp/")
    ]
    assert "sagaflow_mcp.engine" in modules
    load = (
        "import sys, importlib; sys.path.append(sys.argv[1]); [importlib.import_module(each) for each in sys.argv[2:]]"
    )
    command = [tools.oldest_python(), "-I", "-S", "-B", "-W", "error", "-c", load, str(tools.ROOT), *modules]
    assert tools.run(command, env={}, cwd=tmp_path).stdout == ""


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
