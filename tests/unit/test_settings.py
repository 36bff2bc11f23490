"""What a user can choose."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import engine
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.settings import Settings, without_ours

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home


def load(home: Home, config: str | None = None, **environ: str) -> Settings:
    """The settings with `config` as the home's `config.toml`."""
    if config is not None:
        Path(home.config).write_text(config, encoding="utf-8")
    return Settings.load({"SAGAFLOW_HOME": home.root, **environ})


def test_without_a_choice_each_setting_has_its_default(home: Home) -> None:
    """An empty file is no choice, and neither is an empty variable."""
    found = load(home, "", SAGAFLOW_IDLE_SECONDS="", SAGAFLOW_NOTIFY="")
    assert (found.notify, found.models, found.concurrent_model_calls, found.idle_seconds) == (True, {}, 16, 900.0)


def test_the_file_chooses_and_the_environment_goes_before_it(home: Home) -> None:
    """One variable for each setting that has one."""
    config = '[inbox]\nnotify = true\n[engine]\nidle_seconds = 5\n[models]\nhaiku = "h"\nconcurrent_calls = 3\n'
    found = load(home, config)
    assert (found.notify, found.idle_seconds, found.models, found.concurrent_model_calls) == (
        True,
        5,
        {"HAIKU": "h"},
        3,
    )
    found = load(home, SAGAFLOW_NOTIFY="off", SAGAFLOW_IDLE_SECONDS="0.5")
    assert (found.notify, found.idle_seconds) == (False, 0.5)


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ("[models]\nhaiku = 5", "models.haiku is 5, but must be text"),
        ("[models]\nsonnet = ''", "models.sonnet is '', but must be text"),
        (
            "[models]\nconcurrent_calls = -3",
            "models.concurrent_calls is -3, but must be a whole number from 1 to 10000",
        ),
        ("[models]\nconcurrent_calls = 0", "must be a whole number from 1 to 10000"),
        ("[models]\nconcurrent_calls = true", "must be a whole number from 1 to 10000"),
        ("[models]\nconcurrent_calls = 2.5", "must be a whole number from 1 to 10000"),
        ("[models]\ntransport = 'codex'", "models.transport is 'codex', but must be one of auto, api, claude"),
        ("[inbox]\nnotify = 'no'", "inbox.notify is 'no', but must be true or false"),
        ("[inbox]\nnotify = 1", "must be true or false"),
        ("[engine]\nidle_seconds = '900'", "engine.idle_seconds is '900', but must be a positive number of seconds"),
        ("[engine]\nidle_seconds = 0", "must be a positive number of seconds"),
        ("[engine]\nidle_seconds = nan", "must be a positive number of seconds"),
        ("[engine]\nidle_seconds = true", "must be a positive number of seconds"),
        ("[modles]\n", "there is no setting 'modles'; the tables are engine, inbox, models"),
        ("[models]\nhaikou = 'x'", "there is no setting 'models.haikou'"),
        ("models = 'x'", "'models' must be a table"),
        ("[models", "cannot be read as TOML"),
    ],
)
def test_a_slip_in_the_file_is_a_sentence_with_the_file_and_what_was_wanted(
    home: Home, config: str, wanted: str
) -> None:
    """Nothing is guessed."""
    with pytest.raises(Refusal) as refused:
        load(home, config)
    assert str(refused.value).startswith(repr(home.config))
    assert wanted in str(refused.value)


@pytest.mark.parametrize("text", ["soon", "-1", "0", "nan"])
def test_a_slip_in_the_environment_names_the_variable(home: Home, text: str) -> None:
    """Not the file, which may be in order."""
    with pytest.raises(Refusal, match=f"^SAGAFLOW_IDLE_SECONDS is '{text}', but must be a positive number of seconds$"):
        load(home, SAGAFLOW_IDLE_SECONDS=text)


def test_a_file_that_is_not_utf8_is_a_sentence(home: Home) -> None:
    """With the file's name."""
    Path(home.config).write_bytes(b"caf\xe9")
    with pytest.raises(Refusal, match="cannot be read as TOML"):
        load(home)


@pytest.mark.parametrize("seconds", [0.05, 900.0, 1234567.0])
def test_the_engine_gets_the_idle_time_that_was_chosen(home: Home, seconds: float) -> None:
    """From the file as well, and exactly."""
    handed = load(home, f"[engine]\nidle_seconds = {seconds}\n").for_engine()
    assert handed["SAGAFLOW_HOME"] == home.root
    assert engine.idle_seconds(handed["SAGAFLOW_IDLE_SECONDS"]) == seconds


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, {}),
        ({"ANTHROPIC_API_KEY": ""}, {}),
        ({"ANTHROPIC_BASE_URL": "http://x"}, {}),
        ({"ANTHROPIC_API_KEY": "k", "OTHER": "x"}, {"ANTHROPIC_API_KEY": "k"}),
        (
            {"ANTHROPIC_AUTH_TOKEN": "t", "ANTHROPIC_BASE_URL": "http://x"},
            {"ANTHROPIC_AUTH_TOKEN": "t", "ANTHROPIC_BASE_URL": "http://x"},
        ),
    ],
)
def test_credentials_are_a_key_or_a_token_and_the_gateway_for_it(
    home: Home, environ: dict[str, str], found: dict[str, str]
) -> None:
    """A gateway alone gives no access."""
    assert load(home, **environ).credentials() == found


def test_credentials_are_not_shown_with_the_settings(home: Home) -> None:
    """A log may have them."""
    assert "planted" not in repr(load(home, ANTHROPIC_API_KEY="planted"))


def test_the_rest_of_an_environment_has_neither_our_variables_nor_credentials() -> None:
    """What a throw-away Sagaflow starts from."""
    environ = {"PATH": "/bin", "SAGAFLOW_HOME": "/x", "ANTHROPIC_API_KEY": "k"}
    assert without_ours(environ) == {"PATH": "/bin"}


def test_the_transport_is_chosen_by_file_or_variable(home: Home, tmp_path: Path) -> None:
    """The engine and its workers hear of it; a slip is a sentence."""
    claude = tmp_path / "claude"
    claude.touch(mode=0o755)
    access = {"ANTHROPIC_API_KEY": "k", "SAGAFLOW_CLAUDE": str(claude)}
    assert load(home, **access).transport == "auto"
    chosen = load(home, '[models]\ntransport = "claude"\n', **access)
    assert (chosen.transport, list(chosen.credentials())) == ("claude", ["SAGAFLOW_CLAUDE"])
    assert chosen.for_engine()["SAGAFLOW_TRANSPORT"] == "claude"
    assert list(load(home, **access, SAGAFLOW_TRANSPORT="api").credentials()) == ["ANTHROPIC_API_KEY"]
    with pytest.raises(Refusal, match="SAGAFLOW_TRANSPORT is 'x', but must be one of auto, api, claude"):
        load(home, **access, SAGAFLOW_TRANSPORT="x").credentials()
