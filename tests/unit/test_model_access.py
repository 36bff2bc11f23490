"""The helper that prints a key where nobody is there to bring one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import model_access
from sagaflow_mcp.errors import Failure
from sagaflow_mcp.settings import Settings

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home


def settings(home: Home, helper: str, **environ: str) -> Settings:
    """Those of a user with this helper and no `claude` command."""
    Path(home.config).write_text(f"[models]\napi_key_helper = '{helper}'\n", encoding="utf-8")
    return Settings.load({"SAGAFLOW_HOME": home.root, "HOME": home.root, "PATH": "/usr/bin:/bin", **environ})


def test_the_helper_is_asked_where_the_environment_has_no_key(home: Home) -> None:
    """What it prints is the key; a gateway stays."""
    given = settings(home, "echo k-1", ANTHROPIC_BASE_URL="http://localhost:9")
    assert model_access.found(given) == {"ANTHROPIC_API_KEY": "k-1", "ANTHROPIC_BASE_URL": "http://localhost:9"}


@pytest.mark.parametrize("environ", [{"ANTHROPIC_API_KEY": "own"}, {"ANTHROPIC_AUTH_TOKEN": "own"}])
def test_a_key_of_the_environment_goes_before_it(home: Home, environ: dict[str, str]) -> None:
    """Then it is not even run."""
    assert model_access.found(settings(home, "false", **environ)) == environ


def test_a_login_that_was_chosen_goes_before_it(home: Home) -> None:
    """As `models.transport` says."""
    assert model_access.found(settings(home, "echo k-1", SAGAFLOW_TRANSPORT="claude")) == {}


@pytest.mark.parametrize(
    ("helper", "reason"),
    [
        ("echo secret; echo why >&2; exit 3", "exit status 3: why$"),
        ("true", "must print a key and nothing else"),
        ("echo two words", "must print a key and nothing else"),
    ],
)
def test_a_helper_that_gives_no_key_is_told_without_what_it_printed(home: Home, helper: str, reason: str) -> None:
    """There may be a key in that."""
    with pytest.raises(Failure, match=reason) as failed:
        model_access.found(settings(home, helper))
    assert "secret" not in str(failed.value)


def test_a_wait_goes_on_without_a_key_that_the_helper_does_not_give(home: Home) -> None:
    """The run may need no model; a launch that does was refused."""
    given = settings(home, "false")
    assert model_access.at_hand(given) == {}
    with pytest.raises(Failure):
        model_access.found(given)
