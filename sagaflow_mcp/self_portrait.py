"""`python -m sagaflow_mcp.self_portrait` writes what the package knows of itself.

That is `manifest.json`, what the MCP server says of itself, and `bundled_verdicts.json`, what the bundled skills need
and take.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION

from sagaflow_mcp import catalog, manifest, pinning, probe
from sagaflow_mcp.paths import Home

SERVER = (sys.executable, "-m", "sagaflow_mcp.server")

_CLIENT = {"name": "sagaflow-manifest", "version": "1"}

_ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": LATEST_MODERN_VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": _CLIENT,
}

_INITIALIZE = {"protocolVersion": LATEST_HANDSHAKE_VERSION, "capabilities": {}, "clientInfo": _CLIENT}


def drawn() -> dict[str, Any]:
    """What `manifest.json` should hold, asked of the server itself."""
    modern = _asked({method: {"_meta": _ENVELOPE} for method in ("server/discover", *manifest.LISTS)})
    legacy = _asked({"initialize": _INITIALIZE, **{method: {} for method in manifest.LISTS}})
    # The server cannot tell an older client that its tools have changed. The launcher can.
    legacy["initialize"]["capabilities"]["tools"]["listChanged"] = True
    return {"handshake_versions": list(HANDSHAKE_PROTOCOL_VERSIONS), "modern": modern, "legacy": legacy}


def verdicts() -> dict[str, Any]:
    """What `bundled_verdicts.json` should hold, found out as at a first launch."""
    roots = catalog.bundled()
    with tempfile.TemporaryDirectory() as folder:
        home = Home(str(Path(folder, "home"))).prepare()
        pinned = [pinning.pin(home, catalog.find(each.name, roots)) for each in catalog.listing(roots)]
        return {
            each.name: {"digest": each.digest, "verdict": asdict(probe.verdict(home, each, afresh=True))}
            for each in pinned
        }


def _asked(questions: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The server's results by method, over one connection."""
    answers: dict[str, Any] = {}
    with subprocess.Popen(SERVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as server:
        assert server.stdin is not None
        assert server.stdout is not None
        for number, (method, params) in enumerate(questions.items()):
            request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            server.stdin.write(json.dumps(request) + "\n")
            server.stdin.flush()
            answers[method] = json.loads(server.stdout.readline())["result"]
            if method == "initialize":
                server.stdin.write('{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
        server.stdin.close()
    return answers


def main() -> None:
    """Write the files anew."""
    for path, found in ((Path(manifest.PATH), drawn()), (probe.BUNDLED, verdicts())):
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
