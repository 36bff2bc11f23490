"""Connections with MCP servers: opened when they are needed, kept for the calls of a run, bounded in all they read."""

from __future__ import annotations

from sagaflow_mcp.mcp_clients._connections import START_SECONDS, Connections
from sagaflow_mcp.mcp_clients._errors import ServerError, SessionGoneError
from sagaflow_mcp.mcp_clients._place import Place

__all__ = ["START_SECONDS", "Connections", "Place", "ServerError", "SessionGoneError"]
