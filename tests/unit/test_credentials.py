"""Model credentials in memory: whose are used for which run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp.credentials import CLAUDE, TRANSPORT, Credentials, found_in

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW, OWN = ({"ANTHROPIC_API_KEY": name} for name in ("old", "new", "own"))


def test_a_run_has_its_own_then_the_latest() -> None:
    """A run that brought credentials keeps them; one that did not has the latest given."""
    kept = Credentials()
    kept.remember("run-1", OWN)
    kept.remember("run-2", NEW)
    assert (kept.of("run-1"), kept.of("run-3")) == (OWN, NEW)


def test_what_the_process_started_with_comes_last() -> None:
    """A worker that starts again learns the newest key from the engine, whatever its environment holds."""
    engine, worker = Credentials(at_start=OLD), Credentials(at_start=OLD)
    assert worker.of("run-1") == OLD
    engine.remember("run-1", NEW)
    worker.merge(engine.export())
    assert worker.of("run-2") == NEW


def test_what_the_process_started_with_is_not_passed_on() -> None:
    """Each process has an environment of its own."""
    assert Credentials(at_start=OLD).export() == {"latest": {}, "runs": {}}


def test_credentials_of_ended_runs_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """They go with the run, but not in the moment in which its marker is being written."""
    kept = Credentials()
    kept.remember("run-1", OWN)
    kept.remember("", NEW)
    kept.prune(set())
    assert kept.of("run-1") == OWN
    monkeypatch.setattr("sagaflow_mcp.credentials.GRACE_SECONDS", -1.0)
    kept.prune({"run-1"})
    assert kept.of("run-1") == OWN
    kept.prune(set())
    assert kept.of("run-1") == NEW


@pytest.mark.parametrize("exported", [None, [], {"runs": []}, {"latest": {"a": 1}}, {"runs": {"run-1": "key"}}])
def test_what_is_no_export_is_refused_without_showing_it(exported: object) -> None:
    """It comes over a socket."""
    with pytest.raises(ValueError, match="credentials"):
        Credentials().merge(exported)


def test_an_address_alone_is_no_access() -> None:
    """Without a key or a token there is nothing to send to it."""
    assert found_in({"ANTHROPIC_BASE_URL": "http://x", "PATH": "/bin"}) == {}
    assert found_in({"ANTHROPIC_BASE_URL": "http://x", "ANTHROPIC_AUTH_TOKEN": "t", "ANTHROPIC_API_KEY": ""}) == {
        "ANTHROPIC_BASE_URL": "http://x",
        "ANTHROPIC_AUTH_TOKEN": "t",
    }


@pytest.mark.parametrize(
    ("transport", "found"),
    [("", "ANTHROPIC_API_KEY"), ("auto", "ANTHROPIC_API_KEY"), ("api", "ANTHROPIC_API_KEY"), ("claude", CLAUDE)],
)
def test_a_key_goes_before_a_login_unless_the_user_says_otherwise(tmp_path: Path, transport: str, found: str) -> None:
    """Never both: which one a call goes by is what the credentials say."""
    claude = tmp_path / "claude"
    claude.touch(mode=0o755)
    environ = {"ANTHROPIC_API_KEY": "k", CLAUDE: str(claude), TRANSPORT: transport}
    assert list(found_in(environ)) == [found]
    without = {**environ, "ANTHROPIC_API_KEY": ""}
    assert list(found_in(without)) == ([] if transport == "api" else [CLAUDE])


def test_those_from_the_start_wait_for_what_the_engine_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that takes the place of a killed one must not go on with another user's choice; but not for ever."""
    held = Credentials(at_start=OLD)
    assert not held.is_settled("run-1")
    held.merge({"latest": {}, "runs": {}})
    assert held.is_settled("run-1")
    another = Credentials(at_start=OLD)
    another.remember("run-1", OWN)
    assert another.is_settled("run-1")
    alone = Credentials(at_start=OLD)
    monkeypatch.setattr("sagaflow_mcp.credentials.ENGINE_SECONDS", -1.0)
    assert alone.is_settled("run-1")
