#!/bin/sh
# Starts the MCP server from the environment that Sagaflow is installed in: the one in the plugin's folder, else the one
# on PATH, else where pipx and `uv tool` put commands. A GUI often has a shorter PATH than a shell.
root=$(dirname "$0")/..
for server in "$root/.venv/bin/sagaflow-mcp" "$(command -v sagaflow-mcp 2>/dev/null)" "$HOME/.local/bin/sagaflow-mcp"; do
  [ -x "$server" ] && exec "$server"
done
echo "sagaflow: its Python package is not installed; run: pip install sagaflow-mcp" >&2
exit 1
