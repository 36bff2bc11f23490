"""How MCP servers are named, and what is told of their tools."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from mcp_types import CallToolResult, Tool

from sagaflow_mcp import agent_tools, mcp_names, mcp_servers, mcp_tools, preferences, settings, skill_file
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.mcp_servers import Server

if TYPE_CHECKING:
    from pathlib import Path


def skill(folder: Path, servers: Any) -> Path:
    """A skill's folder that names `servers`."""
    (folder / ".mcp.json").write_text(json.dumps({"mcpServers": servers}), encoding="utf-8")
    return folder


def tool(name: str, **members: Any) -> Tool:
    """A tool that a server lists."""
    return Tool.model_validate({"name": name, "inputSchema": {"type": "object"}, **members})


def test_a_skill_names_servers_as_claude_code_does(tmp_path: Path) -> None:
    """What a server cannot be called in a tool's name is a `_`; members that only Claude Code knows are left alone."""
    found = mcp_servers.of_skill(
        skill(
            tmp_path,
            {
                "my files!": {"command": "npx", "args": ["-y", "x"], "env": {"A": "b"}, "timeout": 600_000},
                "web": {"type": "http", "url": "https://a.test/mcp", "headers": {"A": "b"}, "alwaysLoad": True},
                "quick": {"command": "x", "timeout": 500},
            },
        )
    )
    assert found["my_files_"] == Server("my_files_", "npx", ("-y", "x"), {"A": "b"}, seconds=600)
    assert found["web"] == Server("web", url="https://a.test/mcp", headers={"A": "b"})
    assert found["quick"].seconds == mcp_servers.CALL_SECONDS
    assert mcp_servers.of_skill(tmp_path / "none") == {}


@pytest.mark.parametrize(
    ("servers", "sentence"),
    [
        ([], "must hold an object"),
        ({"a": 1}, "the MCP server 'a' must be an object"),
        ({"a b": {"command": "x"}, "a.b": {"command": "x"}}, "names two MCP servers that are both 'a_b'"),
        ({"": {"command": "x"}}, "1 to 64 characters"),
        ({"a" * 65: {"command": "x"}}, "1 to 64 characters"),
        ({"a": {}}, "mcpServers.a must have either a command or a url"),
        ({"a": {"command": "x", "url": "https://x"}}, "mcpServers.a must have either a command or a url"),
        ({"a": {"command": " "}}, "mcpServers.a.command must be the name or the path of a program"),
        ({"a": {"command": "x", "args": "y"}}, "mcpServers.a.args must be a list of texts"),
        ({"a": {"command": "x", "args": ["\0"]}}, "mcpServers.a.args must be a list of texts"),
        ({"a": {"command": "x", "env": {"A": 1}}}, "mcpServers.a.env must be a table of texts"),
        ({"a": {"command": "x", "headers": {}}}, "mcpServers.a has a command, with which 'headers' makes no sense"),
        ({"a": {"url": "ftp://x"}}, "mcpServers.a.url must be an http:// or https:// address"),
        ({"a": {"url": "https://x", "headers": {"A": "b\r\nC: d"}}}, "mcpServers.a.headers must be a table of texts"),
        ({"a": {"type": "sse", "url": "https://x"}}, "mcpServers.a.type must be one of stdio, http, streamable-http"),
        ({"a": {"type": "http", "command": "x"}}, "mcpServers.a.type is 'http', with which it must have a url"),
        ({"a": {"command": "x", "timeout": True}}, "mcpServers.a.timeout must be a positive number of milliseconds"),
        ({str(each): {"command": "x"} for each in range(51)}, "names 51 MCP servers, but may name 50"),
    ],
)
def test_a_wrong_server_is_refused_in_a_sentence(tmp_path: Path, servers: Any, sentence: str) -> None:
    """That names the file, the server and the member, and never a value."""
    with pytest.raises(Refusal) as caught:
        mcp_servers.of_skill(skill(tmp_path, servers))
    assert sentence in str(caught.value)
    assert ".mcp.json" in str(caught.value)


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    """As one that is too long is."""
    (tmp_path / ".mcp.json").write_text("{", encoding="utf-8")
    with pytest.raises(Refusal, match="cannot be read as JSON"):
        mcp_servers.of_skill(tmp_path)
    (tmp_path / ".mcp.json").write_text(" " * 1_000_001, encoding="utf-8")
    with pytest.raises(Refusal, match="more than 1,000,000 bytes"):
        mcp_servers.of_skill(tmp_path)


def test_variables_are_expanded_as_claude_code_does() -> None:
    """`${VAR}` and `${VAR:-default}`, in command, arguments, environment, address and headers."""
    environ = {"A": "one", "EMPTY": ""}
    server = Server("x", "${A}", ("${B:-two:-three}", "$A", "${EMPTY:-no}"), {"E": "${A}${A}"}, "", {"H": "x ${A}"})
    expanded = server.expanded(environ)
    assert (expanded.command, expanded.args) == ("one", ("two:-three", "$A", ""))
    assert (expanded.env, expanded.headers) == ({"E": "oneone"}, {"H": "x one"})
    with pytest.raises(Refusal, match="MCP server 'x' needs the environment variable NONE, which is not set"):
        Server("x", "${NONE}").expanded(environ)


def test_what_is_secret_of_a_server_is_hidden() -> None:
    """Headers, what stands in an address, and variables that are called as secrets are; nothing else."""
    server = Server(
        "x",
        url="https://me:password1@a.test/mcp?key=abcdef",
        headers={"Authorization": "Bearer my-token", "X-Region": "europe"},
        env={"GITHUB_TOKEN": "gh_12345", "GIT_AUTHOR_NAME": "Somebody", "API_KEY": "short"},
    )
    text = "my-token Bearer my-token me:password1 key=abcdef gh_12345 Somebody europe short"
    assert server.hidden(text) == "… … … … … Somebody europe short"
    assert "my-token" not in repr(server)


def test_the_value_of_a_secret_variable_is_hidden_wherever_it_stands() -> None:
    """Such as among the arguments of a command."""
    environ = {"FILES_KEY": "abc-123-def", "FOLDER": "/srv/files"}
    server = Server("x", "files", ("--key=${FILES_KEY}", "${FOLDER}")).expanded(environ)
    assert server.hidden("no access to /srv/files with abc-123-def") == "no access to /srv/files with …"


def test_a_users_servers_stand_in_the_settings(tmp_path: Path) -> None:
    """Each as one, without what may be a secret; they are changed in the file."""
    environ = {"HOME": str(tmp_path), "SAGAFLOW_HOME": str(tmp_path / "home")}
    (tmp_path / "home").mkdir(mode=0o700)
    (tmp_path / "home" / "config.toml").write_text(
        '[mcp_servers.files]\ncommand = "npx"\nargs = ["--key=secret"]\ntimeout_seconds = 5\n'
        '[mcp_servers.web]\nurl = "https://me:pw@a.test/mcp?key=secret"\n',
        encoding="utf-8",
    )
    shown = {each.name: each.value for each in preferences.listing(environ) if each.name.startswith("mcp_servers")}
    assert shown == {"mcp_servers.files": "npx", "mcp_servers.web": "https://a.test/…"}
    config = settings.read(settings.Settings.load(environ).home)
    found = mcp_servers.of_config(config["mcp_servers"])
    assert found["files"] == Server("files", "npx", ("--key=secret",), seconds=5)
    with pytest.raises(Refusal, match=r"mcp_servers\.files is 'x', but must be a table in config\.toml"):
        settings.parsed("mcp_servers.files", "x")


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"a b": {"command": "x"}}, "mcp_servers has the name 'a b', but a server's name is 1 to 64 of A-Z"),
        ({"a": "x"}, "'mcp_servers.a' must be a table, [mcp_servers.a]"),
        ({"a": {"commnd": "x"}}, "mcp_servers.a has 'commnd'; a server has command, args, env, url, headers, type, "),
        ({"a": {"command": "x", "timeout": 5}}, "mcp_servers.a has 'timeout'; a server has "),
        ({"a": {"url": 5}}, "mcp_servers.a.url must be an http:// or https:// address"),
    ],
)
def test_a_users_wrong_server_is_refused(table: Any, sentence: str) -> None:
    """Like any other setting."""
    with pytest.raises(Refusal) as caught:
        settings.checked({"mcp_servers": table}, "config.toml")
    assert sentence in str(caught.value)


def test_names_of_tools_say_which_server() -> None:
    """Of several that fit, the longest."""
    servers = ["a", "a__b", "web"]
    assert mcp_names.server_of("mcp__a__b__c", servers) == "a__b"
    assert mcp_names.server_of("mcp__a__b", servers) == "a__b"
    assert mcp_names.server_of("mcp__a__*", servers) == "a"
    assert mcp_names.server_of("mcp__we__b", servers) is None
    assert mcp_names.is_all("mcp__a__*", "a")
    assert not mcp_names.is_all("mcp__a__x", "a")
    assert mcp_names.covers("mcp__web", "mcp__web__x")
    assert mcp_names.covers("mcp__web__*", "mcp__web__x")
    assert not mcp_names.covers("mcp__we", "mcp__web__x")
    assert not mcp_names.covers("bash", "mcp__web__x")


def test_an_agents_tools_may_name_servers() -> None:
    """In an order that each process finds again; whether there are such servers is not looked at."""
    assert agent_tools.chosen({"mcp__b", "mcp__a__*", "bash"}) == ("bash", "mcp__a__*", "mcp__b")
    for wrong in ("mcp__", "mcp__*", "mcp__a b", "mcp__ä", "mcp"):
        with pytest.raises(Refusal, match="there is no tool"):
            agent_tools.chosen([wrong])
    assert agent_tools.only_reads({"name": "mcp__a__x", "reads": "yes"})
    assert not agent_tools.only_reads({"name": "mcp__a__x"})
    allowed = skill_file.allowed_tools("---\nallowed-tools: Read, mcp__a__*, mcp__b__x(y), mcp__c\n---\nx")
    assert agent_tools.of_claude_code(allowed) == (["read_file", "mcp__a__*", "mcp__c"], ["mcp__b__x(y)"])


def test_what_a_model_is_told_of_tools_is_bounded() -> None:
    """What the Messages API does not take is left out, or is a refusal where it is named."""
    listed = [
        tool("a", description="x" * 5_000, annotations={"readOnlyHint": True}),
        tool("a"),
        tool("b", inputSchema={"type": "object", "oneOf": [], "properties": {}}),
        tool("c", inputSchema={"type": "string"}),
        tool("d" * 130),
    ]
    found, lacking = mcp_tools.offered("s", listed, ["mcp__s"])
    assert [(each["name"], each["reads"]) for each in found] == [("mcp__s__a", True), ("mcp__s__b", False)]
    first, second = mcp_tools.definitions(found, ["mcp__s"])
    assert len(first["description"]) == mcp_tools.DESCRIPTION_LIMIT
    assert second["input_schema"] == {"type": "object", "properties": {}}
    assert len(lacking) == 3
    with pytest.raises(Refusal, match="tool 'mcp__s__c' of MCP server 's' cannot be used: its input schema"):
        mcp_tools.offered("s", listed, ["mcp__s__c"])


def test_a_long_result_is_a_file(tmp_path: Path) -> None:
    """Of which the beginning is told; data stands for a text that is missing."""
    block = {"type": "text", "text": "a" * 60_000}
    said = mcp_tools.told(CallToolResult.model_validate({"content": [block]}), tmp_path)
    assert len(said) < agent_tools.RESULT_LIMIT
    (kept,) = (tmp_path / mcp_tools.FOLDER).iterdir()
    assert kept.read_text(encoding="utf-8") == "a" * 60_000
    assert said.endswith(f"all of it: {kept})")
    data = CallToolResult.model_validate({"content": [], "structuredContent": {"a": [1]}})
    assert mcp_tools.told(data, tmp_path) == '{"a": [1]}'
    damaged = {"type": "image", "data": "no base64", "mimeType": "image/png"}
    said = mcp_tools.told(CallToolResult.model_validate({"content": [damaged]}), tmp_path)
    assert said == "[image, image/png: it is damaged]"
