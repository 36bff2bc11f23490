"""The manifest says what the server says."""

from __future__ import annotations

import json
from pathlib import Path

from sagaflow_mcp import __version__, manifest, self_portrait


def test_the_manifest_is_what_the_server_says_of_itself() -> None:
    """To write it anew: `python -m sagaflow_mcp.self_portrait`."""
    kept = json.loads(Path(manifest.PATH).read_text(encoding="utf-8"))
    drawn = self_portrait.drawn()
    assert kept == drawn
    assert kept["legacy"]["initialize"]["serverInfo"]["version"] == __version__
