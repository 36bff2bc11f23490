"""What the package knows of itself is what is so."""

from __future__ import annotations

import json
from pathlib import Path

from sagaflow_mcp import __version__, manifest, probe, self_portrait


def test_the_manifest_is_what_the_server_says_of_itself() -> None:
    """To write it anew: `python -m sagaflow_mcp.self_portrait`."""
    kept = json.loads(Path(manifest.PATH).read_text(encoding="utf-8"))
    drawn = self_portrait.drawn()
    assert kept == drawn
    assert kept["legacy"]["initialize"]["serverInfo"]["version"] == __version__


def test_what_is_known_of_the_bundled_skills_is_what_a_first_launch_finds() -> None:
    """To write it anew: as above."""
    assert json.loads(probe.BUNDLED.read_text(encoding="utf-8")) == self_portrait.verdicts()
