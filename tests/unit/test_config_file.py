"""Changes of `config.toml`, which is the user's own file."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import config_file, settings
from sagaflow_mcp.errors import Failure, Refusal

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home

WRITTEN = """\
# How I like it.
[models]   # all of them
haiku =   "h"  # the small one

[inbox]
notify = false
"""


def content(home: Home) -> str:
    """The file's text."""
    return Path(home.config).read_text(encoding="utf-8")


def test_the_rest_of_the_file_stays_as_it_was_written(home: Home) -> None:
    """Comments, order and spaces too; what was set and taken back has left no trace."""
    Path(home.config).write_text(WRITTEN, encoding="utf-8")
    config_file.put(home, "models.base_url", "http://x")
    assert content(home).splitlines() == [*WRITTEN.splitlines()[:3], 'base_url = "http://x"', *WRITTEN.splitlines()[3:]]
    assert config_file.remove(home, "models.base_url")
    assert content(home) == WRITTEN
    assert not config_file.remove(home, "models.base_url")


def test_a_file_is_made_for_the_first_setting(home: Home) -> None:
    """For its owner alone."""
    config_file.put(home, "engine.idle_seconds", 5)
    assert settings.read(home)["engine"] == {"idle_seconds": 5}
    assert stat.S_IMODE(Path(home.config).stat().st_mode) == 0o600


def test_a_link_to_a_file_elsewhere_stays_one(home: Home, tmp_path: Path) -> None:
    """Where people keep all their settings in one place."""
    elsewhere = tmp_path / "dotfiles.toml"
    elsewhere.write_text(WRITTEN, encoding="utf-8")
    Path(home.config).symlink_to(elsewhere)
    config_file.put(home, "models.opus", "o")
    assert Path(home.config).is_symlink()
    assert 'opus = "o"' in elsewhere.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"[models", "cannot be read as TOML"),
        (b"caf\xe9 = 1", "cannot be read as TOML"),
        (b"models = 5", "'models' must be a table"),
        (b"[modles]\nx = 1", "there is no setting 'modles'"),
    ],
)
def test_a_file_that_is_not_in_order_is_left_alone(home: Home, text: bytes, told: str) -> None:
    """One sentence with its name, and nothing changed."""
    Path(home.config).write_bytes(text)
    with pytest.raises(Refusal) as refused:
        config_file.put(home, "models.haiku", "h")
    assert str(refused.value).startswith(repr(home.config))
    assert told in str(refused.value)
    assert Path(home.config).read_bytes() == text


def test_a_slip_can_be_taken_out(home: Home) -> None:
    """A name that there is no such setting as, too."""
    Path(home.config).write_text("[models]\nhaikou = 'x'\nopus = 'o'\n", encoding="utf-8")
    assert config_file.remove(home, "models.haikou")
    assert settings.read(home)["models"] == {"opus": "o"}


def test_a_disk_that_takes_nothing_is_told(home: Home) -> None:
    """In a sentence, with the file as it was."""
    Path(home.config).mkdir()
    with pytest.raises(Failure, match=r"config\.toml' cannot be changed: Is a directory"):
        config_file.put(home, "models.haiku", "h")


def test_changes_at_the_same_time_are_all_kept(home: Home) -> None:
    """Each sees what the one before has written."""
    names = [name for name in settings.names() if name in {"models.haiku", "models.sonnet", "models.opus"}]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: config_file.put(home, name, name), names))
    assert settings.read(home)["models"] == {name.partition(".")[2]: name for name in names}
    assert [each for each in os.listdir(home.root) if each.endswith("~")] == []  # noqa: PTH208 - names are enough
