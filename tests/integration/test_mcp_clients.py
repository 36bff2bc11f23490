"""Connections with MCP servers that do not behave."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sagaflow_mcp import mcp_clients, mcp_tools
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.mcp_servers import Server
from tests import process_table
from tests.integration import odd_http
from tests.waiting import eventually_async

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ODD = str(Path(__file__).with_name("odd_mcp_server.py"))


WRONG = "content: Input should be a valid list"
"""What is wrong with the answer of the tool `wrong`."""


def odd(*manner: str, seconds: float = 30, **env: str) -> Server:
    """Our server over stdio."""
    return Server("odd", sys.executable, (ODD, *manner), env=env, seconds=seconds)


def place(folder: Path, run_id: str = "run") -> mcp_clients.Place:
    """Where it works."""
    return mcp_clients.Place(run_id, folder, folder / "logs" / "odd.log", dict(os.environ))


def tried(work: Callable[[mcp_clients.Connections], Awaitable[Any]], **seconds: float) -> Any:
    """What `work` returns, which is given connections that are closed then."""

    async def act() -> Any:
        """Do it."""
        connections = mcp_clients.Connections(**{"start_seconds": 20.0, **seconds})
        try:
            return await work(connections)
        finally:
            await connections.close()

    return anyio.run(act)


async def text(connections: mcp_clients.Connections, server: Server, folder: Path, tool: str, **given: Any) -> str:
    """What a tool says, or why it says nothing."""
    try:
        connection = await connections.of(server, place(folder))
        result = await connection.call(tool, given)
    except mcp_clients.ServerError as error:
        return f"{'unknown: ' if error.is_unknown else ''}{error}"
    return mcp_tools.told(result, folder)


def test_whatever_a_call_does_to_a_server_the_next_one_is_answered(tmp_path: Path) -> None:
    """A message that is too long, half of a character, a server that ends: each is told as what it is."""

    async def work(connections: mcp_clients.Connections) -> list[str]:
        """Make the calls."""
        calls = ("count", "half", "wrong", "count", "big", "count", "die", "count")
        return [await text(connections, odd(), tmp_path, each, text="\ud800") for each in calls]

    assert tried(work) == [
        "1",
        "half ?",
        f"unknown: the call of 'wrong' of MCP server 'odd' was answered with what is no MCP: {WRONG}",
        "4",
        "unknown: MCP server 'odd' has ended in the middle of the call: it has sent a message of more than 10 MB",
        "1",
        "unknown: MCP server 'odd' has ended in the middle of the call: Error: I have had enough",
        "1",
    ]
    assert (tmp_path / "logs" / "odd.log").read_text(encoding="utf-8") == "Error: I have had enough\n"


def test_a_server_that_is_slow_keeps_what_it_knows_and_one_that_hangs_is_started_anew(tmp_path: Path) -> None:
    """The one hears that the call is cancelled, and goes on."""
    slow = "unknown: the call of 'hang' of MCP server 'odd' took longer than 1 s and was cancelled"

    async def work(connections: mcp_clients.Connections) -> list[str]:
        """Make the calls."""
        server = odd(seconds=1)
        first = await text(connections, server, tmp_path, "count")
        cancelled = await text(connections, server, tmp_path, "hang", text="until told")
        kept = await text(connections, server, tmp_path, "count")
        hung = await text(connections, server, tmp_path, "hang")
        return [first, cancelled, kept, hung, await text(connections, server, tmp_path, "count")]

    assert tried(work, ping_seconds=0.5) == ["1", slow, "3", slow, "1"]


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (odd("mute"), "it did not answer within 1 s"),
        (odd("chatter"), "it did not answer within 1 s, and said last: ready soon"),
        (odd("noise"), "what it says is no MCP"),
        (odd("crash"), "ValueError: it cannot work"),
        (Server("odd", "no-such-command"), "there is no command 'no-such-command'"),
    ],
)
def test_a_server_that_cannot_be_started_says_why(tmp_path: Path, server: Server, reason: str) -> None:
    """In one sentence, with the line of its standard error that tells most."""

    async def work(connections: mcp_clients.Connections) -> None:
        """Try."""
        await connections.of(server, place(tmp_path))

    with pytest.raises(mcp_clients.ServerError) as caught:
        tried(work, **({"start_seconds": 1.0} if {"mute", "chatter"} & {*server.args} else {}))
    assert str(caught.value) == f"MCP server 'odd' cannot be started: {reason}"


def test_a_list_of_tools_has_bounds(tmp_path: Path) -> None:
    """Ten thousand are too many for an agent, a few of them are not, and there must be an end."""

    async def work(connections: mcp_clients.Connections) -> list[Any]:
        """List."""
        connection = await connections.of(odd("many"), place(tmp_path))
        many = await connection.tools(20)
        connection = await connections.of(odd("endless"), place(tmp_path))
        with pytest.raises(mcp_clients.ServerError, match="'odd' lists tools without end"):
            await connection.tools(20)
        return many

    many = tried(work)
    chosen, _ = mcp_tools.offered("odd", many, ["mcp__odd__t9999"])
    assert [each["tool"] for each in chosen] == ["t9999"]
    everything, _ = mcp_tools.offered("odd", many, ["mcp__odd"])
    with pytest.raises(Refusal, match="10000 tools, of MCP servers odd, more than 128; name those that it needs"):
        mcp_tools.check_size(everything)


def test_an_idle_server_and_those_of_a_run_that_has_ended_are_gone(tmp_path: Path) -> None:
    """The next call starts another."""
    pids = tmp_path / "pids"

    async def gone(number: int) -> None:
        """Return when the server that was started as that one is no more."""
        pid = int(pids.read_text(encoding="utf-8").split()[number])
        await eventually_async(lambda: process_table.is_gone(pid), f"the end of server {number}")

    async def work(connections: mcp_clients.Connections) -> list[str]:
        """Call, and wait."""
        server = odd(ODD_PID=str(pids))
        said = []
        for number in range(2):
            said.append(await text(connections, server, tmp_path, "count"))
            await gone(number)
        await connections.of(server, place(tmp_path, "ended"))
        connections.end("ended")
        await gone(2)
        return said

    assert tried(work, idle_seconds=0.1) == ["1", "1"]


@pytest.mark.parametrize("as_json", [True, False])
def test_a_server_at_an_address_is_bounded_and_its_headers_stay_secret(tmp_path: Path, as_json: bool) -> None:
    """Also where it says them itself; one that was restarted is asked again."""

    async def work(connections: mcp_clients.Connections) -> tuple[list[str], list[str]]:
        """Make the calls."""
        with odd_http.served(as_json=as_json) as url:
            server = Server("web", url=url, headers={"Authorization": odd_http.TOKEN})
            said = [await text(connections, server, tmp_path, each) for each in ("count", "headers", "big", "count")]
            stranger = await text(connections, Server("web", url=url), tmp_path, "count")
        return [server.hidden(each) for each in said], [stranger]

    said, stranger = tried(work)
    assert (said[0], said[3]) == ("1", "2")
    assert "'authorization': '…'" in said[1]
    assert "10 MB" in said[2] or "too large" in said[2].lower() or "exceed" in said[2].lower(), said[2]
    assert stranger == ["MCP server 'web' cannot be used: it has answered with HTTP status 401"]


def test_a_session_that_a_server_has_forgotten_is_told_as_that(tmp_path: Path) -> None:
    """Nothing was done then, so that the call may be made again over a new connection."""

    async def work(connections: mcp_clients.Connections) -> list[str]:
        """Make the calls."""
        with odd_http.served(is_old=True) as url:
            server = Server("web", url=url, headers={"Authorization": odd_http.TOKEN})
            connection = await connections.of(server, place(tmp_path))
            said = [await text(connections, server, tmp_path, "count") for _ in range(2)]
        with odd_http.served(int(url.rpartition(":")[2].partition("/")[0]), is_old=True):
            with pytest.raises(mcp_clients.SessionGoneError):
                await connection.call("count", {})
            return [*said, await text(connections, server, tmp_path, "count")]

    assert tried(work) == ["1", "2", "1"]
