"""MCP servers whose tools agents use: how a skill's `.mcp.json` and the user's `config.toml` name them."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import mcp_names, records
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

TABLE = "mcp_servers"
"""The table in `config.toml` that has a table for each of the user's servers."""

FILE = ".mcp.json"
"""The file in a skill's folder that names its servers, in Claude Code's format."""

LARGEST_FILE = 1_000_000
"""The largest such file, in bytes."""

MOST = 50
"""How many servers one place may name."""

CALL_SECONDS = 120.0
"""How long a call of a tool may take, unless the server's `timeout` says otherwise."""

LONGEST_CALL_SECONDS = 1800.0
"""How long it may take at most."""

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What a server may be called."""

LONG_HEADER = 16
"""From how many characters on a header is taken for a secret, whatever it is called."""

TYPES = ("stdio", "http", "streamable-http")
"""What a server's `type` may be; the last two mean the same."""

_COMMAND, _ADDRESS = ("command", "args", "env"), ("url", "headers")
_VARIABLE = re.compile(r"\$\{([^}]+)\}")
_SECRET = re.compile(
    r"(^|[_-])(\w*key|\w*token|secret|pass\w*|credentials?|auth\w*ation|auth|cookie)([_-]|$)", re.IGNORECASE
)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True)
class Server:
    """A server as it is named, with nothing in it expanded."""

    name: str
    """As it stands in the names of its tools."""
    command: str = ""
    """The program that it is; empty for one at an address."""
    args: tuple[str, ...] = field(default=(), repr=False)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    url: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    seconds: float = CALL_SECONDS
    """How long a call may take."""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What stands in it, wherever, for variables that are called as secrets are; empty as long as none is replaced."""

    def expanded(self, environ: Mapping[str, str]) -> Server:
        """The server with each `${VAR}` and `${VAR:-default}` in it replaced; Refusal when a variable is not set."""

        def new(text: str) -> str:
            return _VARIABLE.sub(lambda found: _value(found[1], environ, self.name), text)

        return Server(
            self.name,
            new(self.command),
            tuple(map(new, self.args)),
            {name: new(value) for name, value in self.env.items()},
            new(self.url),
            {name: new(value) for name, value in self.headers.items()},
            self.seconds,
            tuple(environ[name] for name in self._variables() if name in environ and _SECRET.search(name)),
        )

    def _variables(self) -> list[str]:
        """The names of the variables that stand in it, sorted."""
        texts = [self.command, *self.args, *self.env.values(), self.url, *self.headers.values()]
        return sorted({found.partition(":-")[0] for text in texts for found in _VARIABLE.findall(text)})

    def hidden(self, text: str) -> str:
        """`text` without what is secret of the server: long headers, and what is called as secrets are."""
        for word in sorted(self._secrets(), key=len, reverse=True):
            text = text.replace(word, "…")
        return text

    def _secrets(self) -> set[str]:
        named = [value for name, value in {**self.env, **self.headers}.items() if _SECRET.search(name)]
        words = {word for value in named for word in (value, value.rpartition(" ")[2])}
        address = re.fullmatch(r"\w+://(?:([^/?#]*)@)?[^?]*(?:\?(.*))?", self.url)
        words |= {each for each in address.groups() if each} if address else set()
        words |= {value for value in self.headers.values() if len(value) >= LONG_HEADER}
        words |= set(self.secrets)
        return {word for word in words if len(word) >= len("secret")}


def of_skill(folder: Path) -> dict[str, Server]:
    """The servers that the skill in `folder` names, by name; none without a `.mcp.json`. Refusal when it is wrong."""
    path = folder / FILE
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise Refusal(f"{str(path)!r} cannot be read: {error.strerror or error}") from error
    if len(data) > LARGEST_FILE:
        raise Refusal(f"{str(path)!r} has more than {LARGEST_FILE:,} bytes; name fewer MCP servers in it")
    found = dict[str, Server]()
    for name, members in _entries(data, str(path)).items():
        server = _of_claude_code(name, members, str(path))
        if server.name in found:
            raise Refusal(
                f"{str(path)!r} names two MCP servers that are both {server.name!r} in the names of tools; rename one"
            )
        found[server.name] = server
    return found


def of_config(table: Mapping[str, Any]) -> dict[str, Server]:
    """The servers in the table `mcp_servers` of a `config.toml` that is in order, by name."""
    return {name: _server(name, members, members.get("timeout_seconds")) for name, members in table.items()}


def config_trouble(table: Mapping[str, Any]) -> str | None:
    """What is wrong in the table `mcp_servers` of a `config.toml`, in a sentence; None when nothing is."""
    if len(table) > MOST:
        return f"[mcp_servers] names {len(table)} servers, but may name {MOST}"
    for name, members in table.items():
        if not NAME.fullmatch(name):
            shown = records.one_line(repr(name), 80)
            return f"mcp_servers has the name {shown}, but a server's name is 1 to 64 of A-Z, a-z, 0-9, '_' and '-'"
        if not isinstance(members, dict):
            return f"'mcp_servers.{name}' must be a table, [mcp_servers.{name}]"
        trouble = _trouble(members, "timeout_seconds")
        if trouble:
            return f"mcp_servers.{name}{trouble}"
    return None


def shown(members: Mapping[str, Any]) -> str:
    """What a server in `config.toml` is, without anything that may be a secret: its command, or its address."""
    if "command" in members:
        return str(members["command"])
    scheme, _, rest = str(members.get("url", "")).partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return f"{scheme}://{host}/…"


def _entries(data: bytes, path: str) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{path!r} cannot be read as JSON: {records.one_line(str(error), 100)}") from None
    found = content.get("mcpServers") if isinstance(content, dict) else None
    if not isinstance(found, dict):
        raise Refusal(f'{path!r} must hold an object {{"mcpServers": {{…}}}}')
    if len(found) > MOST:
        raise Refusal(f"{path!r} names {len(found)} MCP servers, but may name {MOST}")
    return found


def _of_claude_code(name: str, members: object, path: str) -> Server:
    """A server of a `.mcp.json`. Members that are not known here are left alone: Claude Code has more of them."""
    called = mcp_names.part(name)
    if not NAME.fullmatch(called):
        raise Refusal(f"{path!r} names the MCP server {records.one_line(repr(name), 100)}; 1 to 64 characters will do")
    if not isinstance(members, dict):
        raise Refusal(f"{path!r}: the MCP server {called!r} must be an object")
    own = {member: value for member, value in members.items() if member in _WANTED and member != "timeout_seconds"}
    found = _trouble(own, "timeout")
    if found:
        raise Refusal(f"{path!r}: mcpServers.{called}{found}")
    seconds = own.get("timeout", 0) / 1000
    return _server(called, own, seconds if seconds >= 1 else None)  # As Claude Code does, for which less is none.


def _server(name: str, members: Mapping[str, Any], seconds: float | None) -> Server:
    return Server(
        name,
        members.get("command", ""),
        tuple(members.get("args", ())),
        dict(members.get("env", {})),
        members.get("url", ""),
        dict(members.get("headers", {})),
        min(seconds or CALL_SECONDS, LONGEST_CALL_SECONDS),
    )


def _trouble(members: Mapping[str, Any], timeout: str) -> str | None:
    """What is wrong with a server's members, as the end of a sentence that begins with its name; None for nothing."""
    known = (*_COMMAND, *_ADDRESS, "type", timeout)
    for member, value in members.items():
        if member not in known:
            return f" has {records.one_line(repr(member), 80)}; a server has {', '.join(known)}"
        fits, wanted = _WANTED[member]
        if not fits(value):
            return f".{member} must be {wanted}"  # What it is instead may be a secret.
    if ("command" in members) == ("url" in members):
        return " must have either a command or a url"
    foreign = next((each for each in (_ADDRESS if "command" in members else _COMMAND) if each in members), None)
    if foreign:
        return f" has {'a command' if 'command' in members else 'a url'}, with which {foreign!r} makes no sense"
    is_http = members.get("type", "stdio" if "command" in members else "http") != "stdio"
    if is_http != ("url" in members):
        return f".type is {members['type']!r}, with which it must have a {'url' if is_http else 'command'}"
    return None


def _is_command(value: Any) -> bool:
    return _is_text(value) and bool(value.strip())


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_env(value: Any) -> bool:
    return all(_is_pair(pair) and "=" not in pair[0] for pair in _pairs(value))


def _is_headers(value: Any) -> bool:
    # A line end in a value would begin another header.
    return all(
        _is_pair(pair) and _HEADER.fullmatch(pair[0]) is not None and pair[1].isprintable() for pair in _pairs(value)
    )


def _is_address(value: Any) -> bool:
    return _is_text(value) and re.fullmatch(r"(https?://[^/\s]|\$\{)\S*", value) is not None


def _is_time(value: Any) -> bool:
    return type(value) in {int, float} and 0 < value < float("inf")  # In Python, but not for a user, true is 1.


def _pairs(value: Any) -> Iterator[tuple[Any, Any]]:
    yield from value.items() if isinstance(value, dict) else [(None, None)]


def _is_pair(pair: tuple[Any, Any]) -> bool:
    return _is_text(pair[0]) and bool(pair[0]) and _is_text(pair[1])


def _is_text(value: Any) -> bool:
    """Whether it is a text that a program can be given."""
    try:
        return isinstance(value, str) and b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        return False


def _value(content: str, environ: Mapping[str, str], server: str) -> str:
    name, mark, default = content.partition(":-")
    if name in environ:
        return environ[name]
    if mark:
        return default
    raise Refusal(
        f"MCP server {server!r} needs the environment variable {records.one_line(name, 80)}, which is not set where "
        "the engine was started; set it, or write ${NAME:-default}"
    )


_WANTED: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "command": (_is_command, "the name or the path of a program"),
    "args": (_is_list, "a list of texts"),
    "env": (_is_env, "a table of texts"),
    "url": (_is_address, "an http:// or https:// address"),
    "headers": (_is_headers, "a table of texts, each of one line"),
    "type": (lambda value: value in TYPES, f"one of {', '.join(TYPES)}"),
    "timeout": (_is_time, "a positive number of milliseconds"),
    "timeout_seconds": (_is_time, "a positive number of seconds"),
}
"""What each member of a server must be."""
