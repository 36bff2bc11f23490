"""Every setting as a user sees it, with the `sagaflow config` command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import credentials, doctor, faces, preferences, settings
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.settings import Settings

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.preferences import Preference

CONFIG = """\
[engine]
idle_seconds = 5
[models]
base_url = "http://user:planted@gateway/?key=planted"
[skills]
path = "~/more:/other"
[claude]
command = "~/bin/claude"
"""


@pytest.fixture
def environ(tmp_path: Path, home: Home) -> dict[str, str]:
    """The environment of somebody who has chosen a few things in the file."""
    Path(home.config).write_text(CONFIG, encoding="utf-8")
    return {"HOME": str(tmp_path), "SAGAFLOW_HOME": home.root}


def found(environ: dict[str, str]) -> dict[str, Preference]:
    """Every setting by name."""
    return {each.name: each for each in preferences.listing(environ)}


def test_each_setting_says_where_it_comes_from(environ: dict[str, str]) -> None:
    """The environment goes before the file, and the file before the default."""
    listed = found({**environ, "SAGAFLOW_IDLE_SECONDS": "7", "SAGAFLOW_NOTIFY": "off", "CLAUDE_CONFIG_DIR": ""})
    assert list(listed) == settings.names()
    chosen = {name: (each.value, each.source) for name, each in listed.items()}
    assert chosen["engine.idle_seconds"] == (7, "environment")
    assert chosen["inbox.notify"] == (False, "environment")
    assert chosen["skills.path"] == ("~/more:/other", "config")
    assert chosen["claude.config_dir"] == ("~/.claude", "default")
    assert chosen["models.haiku"][1] == "default"
    assert chosen["projects.home"] == (None, "default")


def test_no_password_is_shown(environ: dict[str, str]) -> None:
    """Neither in the list nor by the doctor, whichever part of an address it is in."""
    assert found(environ)["models.base_url"].value == "http://…@gateway/?…"
    checks = doctor.examine({**environ, "ANTHROPIC_API_KEY": "planted"}, faces.CLI)
    assert any("gateway http://…@gateway/?…" in each.finding for each in checks)
    assert "planted" not in repr(checks)


def test_the_file_counts_where_the_environment_is_silent(environ: dict[str, str], tmp_path: Path) -> None:
    """For the launch of a run and for the engine, with `~` resolved."""
    loaded = Settings.load({**environ, "ANTHROPIC_API_KEY": "k", "SAGAFLOW_SKILLS_PATH": ""})
    assert loaded.credentials()["ANTHROPIC_BASE_URL"] == "http://user:planted@gateway/?key=planted"
    assert loaded.environ["SAGAFLOW_SKILLS_PATH"] == f"{tmp_path}/more:/other"
    assert loaded.for_engine()["SAGAFLOW_CLAUDE"] == f"{tmp_path}/bin/claude"
    assert Settings.load({**environ, "ANTHROPIC_BASE_URL": "http://x"}).environ["ANTHROPIC_BASE_URL"] == "http://x"


def test_the_doctor_says_where_settings_come_from(environ: dict[str, str]) -> None:
    """Those that are not the default."""
    (check,) = [
        each for each in doctor.examine({**environ, "SAGAFLOW_NOTIFY": "0"}, faces.CLI) if each.name == "settings"
    ]
    assert "inbox.notify from SAGAFLOW_NOTIFY, models.base_url from config.toml" in check.finding


def test_what_projects_may_choose_is_asked_in_the_default_home(environ: dict[str, str], tmp_path: Path) -> None:
    """Whichever home is in use: a project could have named that one."""
    assert preferences.home_of(environ, "projects.home").root == str(tmp_path / ".sagaflow")
    assert preferences.home_of(environ, "models.haiku").root == environ["SAGAFLOW_HOME"]
    assert not tmp_path.joinpath(".sagaflow").exists()


def test_a_project_that_is_not_allowed_shows(environ: dict[str, str], tmp_path: Path) -> None:
    """In the list; and a home that a project names has no settings at all."""
    tmp_path.joinpath("project", ".claude").mkdir(parents=True)
    file = tmp_path / "project" / ".claude" / "settings.json"
    session = {**environ, "CLAUDE_PROJECT_DIR": str(file.parents[1]), "ANTHROPIC_BASE_URL": "http://evil"}
    file.write_text(json.dumps({"env": {"ANTHROPIC_BASE_URL": "http://evil"}}), encoding="utf-8")
    assert found(session)["models.base_url"].source == "project"
    file.write_text(json.dumps({"env": {"SAGAFLOW_HOME": environ["SAGAFLOW_HOME"]}}), encoding="utf-8")
    with pytest.raises(Refusal, match="SAGAFLOW_HOME is "):
        preferences.listing(session)
    with pytest.raises(Refusal, match="SAGAFLOW_HOME is "):
        preferences.home_of(session, "models.base_url")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("inbox.notify", "no", False),
        ("inbox.notify", "TRUE", True),
        ("inbox.wake", "off", False),
        ("engine.idle_seconds", "5", 5),
        ("engine.idle_seconds", "0.5", 0.5),
        ("models.concurrent_calls", " 3 ", 3),
        ("models.haiku", "claude-x", "claude-x"),
        ("models.base_url", "https://host:8443/v", "https://host:8443/v"),
        ("skills.path", "~/a:/b", "~/a:/b"),
    ],
)
def test_a_text_becomes_what_the_file_would_have(name: str, text: str, value: object) -> None:
    """By the rules for reading it."""
    assert settings.parsed(name, text) == value


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("inbox.notify", "perhaps", "inbox.notify is 'perhaps', but must be true or false"),
        ("models.concurrent_calls", "0", "models.concurrent_calls is 0, but must be a whole number from 1 to 10000"),
        ("models.concurrent_calls", "99999999999999999999", "but must be a whole number from 1 to 10000"),
        ("engine.idle_seconds", "soon", "but must be a positive number of seconds"),
        ("models.haiku", "", "models.haiku is '', but must be text"),
        ("models.base_url", "gateway", "but must be an http:// or https:// address"),
        ("models.base_url", "htp://u:planted@h", "but must be an http:// or https:// address"),
        ("temporal.address", "http://u:planted@h:1", "but must be of the form host:port"),
        ("models.opus", "caf\udce9", "models.opus is 'caf\\udce9', which is not valid Unicode; give it in UTF-8"),
        ("skills.path", "/caf\udce9", "which is not valid Unicode"),
        ("skills.path", "skills", "but must be paths that begin with / or ~/, separated by :"),
        ("claude.command", "claude", "but must be a path that begins with / or ~/"),
        ("models.haikou", "x", "there is no setting 'models.haikou'; did you mean 'models.haiku'?"),
        ("x", "y", "there is no setting 'x'; see: sagaflow config"),
    ],
)
def test_a_slip_is_a_sentence(name: str, text: str, told: str) -> None:
    """With what was wanted, and no password."""
    with pytest.raises(Refusal) as refused:
        settings.parsed(name, text)
    assert told in str(refused.value)
    assert "planted" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://host/path", "http://host/path"),
        ("http://u:p/w@host", "http://…@host"),
        ("http://host?token=t", "http://host?…"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_its_secrets(address: str, shown: str) -> None:
    """Wherever it stands."""
    assert credentials.shown_address(address) == shown
