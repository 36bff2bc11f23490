"""An MCP server with one tool: what the launcher is compared with, and what it starts to be measured."""

from mcp.server.mcpserver import MCPServer

server = MCPServer("bare")


@server.tool(structured_output=False)
async def echo(text: str) -> str:
    """The same text."""
    return text


if __name__ == "__main__":
    server.run("stdio")
