"""Model credentials in memory: whose are used for which run."""

from __future__ import annotations

import pytest

from sagaflow_mcp.credentials import Credentials, found_in

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
