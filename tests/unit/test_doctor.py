"""The health of an installation, where no engine runs."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest

from sagaflow_mcp import doctor, faces, health, processes
from sagaflow_mcp.paths import Home

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody whose home is empty."""
    return {"HOME": str(tmp_path), "SAGAFLOW_HOME": str(tmp_path / "home")}


def named(environ: dict[str, str], name: str, face: faces.Face = faces.CLI) -> list[health.Check]:
    """The checks of that name."""
    return [check for check in doctor.examine(environ, face) if check.name == name]


@pytest.mark.parametrize("cure", dataclasses.astuple(faces.MCP))
def test_an_agent_is_told_no_shell_command_of_ours(cure: str) -> None:
    """A plugin-only user has none."""
    assert "`sagaflow " not in cure


@pytest.mark.parametrize(
    ("face", "cure"),
    [
        (faces.CLI, "`sagaflow engine stop` ends it"),
        (faces.MCP, f"end process {os.getpid()}: another engine takes its place"),
    ],
    ids=["CLI", "MCP"],
)
def test_an_engine_that_hangs_can_be_ended_by_whoever_reads_it(
    environ: dict[str, str], face: faces.Face, cure: str
) -> None:
    """It holds its lock and does not answer."""
    home = Home.from_environment(environ).prepare()
    place = processes.Place(home.engine, "engine")
    Path(place.pid_file).write_text(f"{os.getpid()}\n", encoding="utf-8")
    lock = processes.acquire(place.lock)
    assert lock is not None
    try:
        (found,) = named(environ, "engine", face)
    finally:
        os.close(lock)
    assert (found.level, found.cure) == ("fail", cure)


@pytest.mark.parametrize("face", [faces.CLI, faces.MCP], ids=["CLI", "MCP"])
def test_the_cure_for_a_missing_key_is_the_readers(environ: dict[str, str], face: faces.Face) -> None:
    """A session that is running cannot be given one."""
    (found,) = named(environ, "model access", face)
    assert (found.level, found.cure) == ("warn", face.set_key)
    assert ("launch again" in found.cure) == (face is faces.CLI)


@pytest.mark.parametrize(
    ("transport", "finding"),
    [
        ("claude", "no claude command, and models.transport is claude"),
        ("api", "no key, and models.transport is api"),
    ],
)
def test_what_was_ruled_out_is_no_cure(environ: dict[str, str], transport: str, finding: str) -> None:
    """The check says which way models would be asked."""
    (found,) = named({**environ, "SAGAFLOW_TRANSPORT": transport}, "model access")
    assert (found.level, found.finding.partition(":")[0]) == ("warn", finding)
    assert found.cure == (faces.CLI.set_claude if transport == "claude" else faces.CLI.set_api_key)


def test_it_is_told_that_a_login_is_used_though_there_is_a_key(environ: dict[str, str], tmp_path: Path) -> None:
    """And with which command."""
    claude = tmp_path / "claude"
    claude.touch(mode=0o755)
    more = {"SAGAFLOW_TRANSPORT": "claude", "SAGAFLOW_CLAUDE": str(claude), "ANTHROPIC_API_KEY": "k"}
    (found,) = named({**environ, **more}, "model access")
    told = f"models.transport is claude: models are asked with {claude}, on its own login"
    assert (found.level, found.finding) == ("info", f"{told}; whether it is logged in, the first call tells")


def test_keys_are_counted_in_good_english(environ: dict[str, str]) -> None:
    """A ring may have several."""
    (found,) = named(environ, "seal")
    assert found.finding.endswith(", 1 key")
    path = Path(Home.from_environment(environ).key)
    ring = json.loads(path.read_text(encoding="utf-8"))
    ring["keys"]["k2"] = ring["keys"]["k1"]
    path.write_text(json.dumps(ring), encoding="utf-8")
    (found,) = named(environ, "seal")
    assert found.finding.endswith(", 2 keys")


def test_the_skills_that_can_be_launched_are_counted(environ: dict[str, str], tmp_path: Path) -> None:
    """Claude Code's own skills are nothing to warn of, whatever their names; a broken workflow is."""
    skills = tmp_path / ".claude" / "skills"
    for name in ("pdf", "xlsx", "Meeting notes"):
        (skills / name).mkdir(parents=True)
        (skills / name / "SKILL.md").write_text("---\ndescription: Helps.\n---\n", encoding="utf-8")
    bundled = len(list(ROOT.glob("skills/*/SKILL.md")))
    assert named(environ, "skills") == [
        health.Check("skills", "ok", f"{bundled + 2} can be launched"),
    ]
    assert [check for check in doctor.examine(environ, faces.CLI) if check.name.startswith("skill ")] == []
    (skills / "pdf" / "__init__.py").write_text("not Python", encoding="utf-8")
    assert [check.level for check in named(environ, "skill pdf")] == ["warn"]


def test_a_temporal_address_in_the_environment_is_seen_and_not_used(environ: dict[str, str]) -> None:
    """Doctor says how to use it; of what else Temporal heeds it names the variables only."""
    given = {**environ, "TEMPORAL_ADDRESS": "h:7233", "TEMPORAL_API_KEY": "planted", "TEMPORAL_PROFILE": ""}
    (told,) = [check for check in named(given, "environment") if "TEMPORAL" in check.finding]
    assert told.level == "info"
    assert told.finding == (
        "seen, but not used: TEMPORAL_ADDRESS=h:7233, TEMPORAL_API_KEY; Sagaflow uses its embedded server"
    )
    config = Path(environ["SAGAFLOW_HOME"], "config.toml")
    assert told.cure == f'to use that server, write address = "h:7233" under [temporal] in {config}'
    config.write_text('[temporal]\naddress = "127.0.0.1:9"\n', encoding="utf-8")
    (told,) = [check for check in named(given, "environment") if "TEMPORAL" in check.finding]
    assert told.finding.endswith("; config.toml names the Temporal server")
    assert not told.cure
