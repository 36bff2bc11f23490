"""The activity that lists an agent's tools of MCP servers, and the use of one of them."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from sagaflow_mcp import (
    agent_tools,
    artifacts,
    child_environ,
    ids,
    mcp_clients,
    mcp_names,
    mcp_servers,
    mcp_tools,
    pinning,
    settings,
)
from sagaflow_mcp.durable import context
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from sagaflow_mcp.conversation import Conversation
    from sagaflow_mcp.durable.context import StepContext
    from sagaflow_mcp.mcp_clients._connection import Connection
    from sagaflow_mcp.mcp_servers import Server

LIST_SECONDS = 60.0
"""How long a server may take to list its tools."""

UNAVAILABLE = "McpServerUnavailable"
"""The failure type of a step that needs a server which cannot be used."""

UNKNOWN = "whether the call has taken effect is unknown; look before you make it again"
"""Goes after why a call failed that changes something and may have been made all the same."""


@dataclass(frozen=True)
class ListToolsInput:
    """What an agent has of MCP servers."""

    role: str
    """What the step is called."""
    conversation: str
    """The agent's, among those of its workflow."""
    tools: list[str]
    """The names that are about MCP servers."""


@activity.defn
async def list_mcp_tools(given: ListToolsInput) -> int:
    """How many tools the servers that are named offer the agent; they are kept with its conversation.

    Raises:
        ApplicationError: there is no such server or tool, or, after some attempts, a server cannot be used.
    """
    step = context.current()
    with context.refusals_end_the_step():
        named = await asyncio.to_thread(_named, step, given.tools)
        try:
            found = await asyncio.gather(*(_offered(step, server, names) for server, names in named))
        except mcp_clients.ServerError as error:
            raise ApplicationError(str(error), type=UNAVAILABLE) from None
        chosen = [tool for tools, _ in found for tool in tools]
        mcp_tools.check_size(chosen)
    for _, lacking in found:
        step.warnings.extend(lacking[:3])
    workflow_id = activity.info().workflow_id or ""
    await asyncio.to_thread(context.conversation_of(step, workflow_id, given.conversation).keep_tools, chosen)
    return len(chosen)


async def use(
    step: StepContext, talk: Conversation, place: str, offered: dict[str, Any], arguments: Any
) -> tuple[bool, str]:
    """Whether the call `place` of a tool that was `offered` went well, and what it has to say.

    One that changes something is made once at most: after a crash the model is told that nobody knows.
    """
    if not isinstance(arguments, dict):
        return False, f"{offered['name']} was given no object; the call was not made"
    begun = offered["reads"]
    for _ in range(2):
        try:
            server, connection = await _connected(step, offered["server"])
            if not begun and not await asyncio.to_thread(talk.begin, place):
                return False, agent_tools.UNKNOWN
            begun = True
            result = await connection.call(offered["tool"], arguments)
        except mcp_clients.SessionGoneError:
            continue  # Nothing was done, and a new connection will do.
        except Refusal as error:
            return False, f"{error}; the call was not made"
        except mcp_clients.ServerError as error:
            return False, f"{error}; {UNKNOWN}" if error.is_unknown and not offered["reads"] else str(error)
        said = await asyncio.to_thread(mcp_tools.told, result, step.files, server.hidden)
        return not result.is_error, said
    return False, f"MCP server {offered['server']!r} keeps no session; the call was not made"


async def _connected(step: StepContext, name: str) -> tuple[Server, Connection]:
    """The server of that name, with every variable replaced, and a connection with it.

    Raises:
        Refusal: it is not named any more, or a variable is missing.
        ServerError: it cannot be used.
    """
    server = (await asyncio.to_thread(_servers, step)).get(name)
    if server is None:
        raise Refusal(f"MCP server {name!r} is not named any more")
    expanded, place = _expanded(step, server)
    return expanded, await step.services.servers.of(expanded, place)


async def _offered(step: StepContext, server: Server, names: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    connection = await step.services.servers.of(*_expanded(step, server))
    return await asyncio.to_thread(mcp_tools.offered, server.name, await connection.tools(LIST_SECONDS), names)


def _named(step: StepContext, tools: list[str]) -> list[tuple[Server, list[str]]]:
    """The servers that the names are about, each with its names. Refusal when there is none for one."""
    servers = _servers(step)
    found = dict[str, list[str]]()
    for name in mcp_names.among(tools):
        about = mcp_names.server_of(name, servers)
        if about is None:
            raise Refusal(
                f"there is no MCP server for the tool {name!r}; there are {', '.join(sorted(servers)) or 'none'}: "
                f"name it in {mcp_servers.FILE} in the skill's folder, or under [mcp_servers] in config.toml"
            )
        found.setdefault(about, []).append(name)
    return [(servers[about], names) for about, names in found.items()]


def _servers(step: StepContext) -> dict[str, Server]:
    """All that are named, by name: the skill's own before the user's."""
    config = settings.read(step.services.home)[mcp_servers.TABLE]
    folder = _skill_folder(step)
    return {**mcp_servers.of_config(config), **(mcp_servers.of_skill(folder) if folder else {})}


def _skill_folder(step: StepContext) -> Path | None:
    """The copy of the skill whose queue the step came over."""
    queue = ids.SkillQueue.parse(activity.info().task_queue)
    return pinning.locate(step.services.home, queue.skill, queue.digest).code if queue else None


def _expanded(step: StepContext, server: Server) -> tuple[Server, mcp_clients.Place]:
    """The server with every variable replaced, and where it works. Refusal when a variable is missing."""
    has_project = step.project_dir and Path(step.project_dir).is_dir()
    folder = Path(step.project_dir) if has_project else step.files
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # A child's own may not be there yet.
    environ = {**child_environ.of_child(os.environ), "CLAUDE_PROJECT_DIR": str(folder)}
    skill = _skill_folder(step)
    known = {**environ, **({"CLAUDE_SKILL_DIR": str(skill)} if skill else {})}
    log = Path(step.run_dir, artifacts.SERVERS, f"{server.name}.log")
    return server.expanded(known), mcp_clients.Place(step.run_id, folder, log, environ)
