"""What is kept no longer goes on demand and by itself: never what is open, unread or needed."""

from __future__ import annotations

import base64
import json
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from sagaflow_mcp import cli_gc, inbox, markers, records, retention, runs
from sagaflow_mcp.testing import LocalSagaflow
from tests.integration.clients import in_process, with_client
from tests.integration.test_leftovers import age
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from temporalio.client import Client

    from sagaflow_mcp.paths import Home

SKILL = '''
from sagaflow_mcp import skill

@skill("keeper")
async def keeper(ctx, how: str = "end", size: int = 1) -> str:
    """Ends at once with a result of that size, or asks."""
    if how == "ask":
        await ctx.ask("Go on?", options=["yes"])
    return "x" * size
'''

LARGE = 100_000
"""More than a history holds."""


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalSagaflow]:
    """A Sagaflow with one skill."""
    folder = tmp_path_factory.mktemp("skills")
    (folder / "keeper").mkdir()
    (folder / "keeper" / "workflow.py").write_text(SKILL, encoding="utf-8")
    with LocalSagaflow(skills=[folder]) as started:
        yield started


def ended(local: LocalSagaflow, run_id: str, *, days: float, read: bool = True, size: int = 1) -> Path:
    """The folder of a run that ended so many days ago."""
    local.wait(local.launch("keeper", run_id=run_id, size=size))
    home = local.settings.home
    eventually(lambda: not markers.exists(home, run_id))
    if read:
        inbox.dismiss(home, [run_id])
    folder = Path(home.run(run_id))
    age(folder / "ending.json", days)
    return folder


def gc(local: LocalSagaflow, *words: str) -> dict[str, Any]:
    """What the command freed."""
    done = in_process(local, "gc", *words, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def is_known(local: LocalSagaflow, run_id: str) -> bool:
    """Whether Temporal still has the run."""

    async def ask(client: Client) -> bool:
        """By its id."""
        try:
            found = await client.get_workflow_handle(run_id).describe()
        except RPCError:
            return False
        return found.status is WorkflowExecutionStatus.COMPLETED

    return bool(with_client(local, ask))


def test_ended_runs_that_were_read_go_and_nothing_else(local: LocalSagaflow) -> None:
    """First it is only said; then folder, entries, payloads and history go, and the id can be launched anew."""
    home = local.settings.home
    old = ended(local, "old", days=100, size=LARGE)
    kept = [
        ended(local, "unread", days=100, read=False),
        ended(local, "young", days=80),
    ]
    kept.append(Path(home.run(local.launch("keeper", run_id="open", how="ask"))))
    eventually(lambda: runs.get(home, "open").questions, "it asks")
    (entry,) = local.inbox("old")
    assert inbox.claim(home, "some-session", entry.entry_id)
    assert len(list(Path(home.blobs).iterdir())) > 0

    planned = gc(local, "--dry-run", "--older-than", "90d")
    assert (planned["runs"], planned["entries"]) == (["old"], 1)
    assert planned["blobs"] > 0
    assert old.exists()
    assert is_known(local, "old")

    freed = gc(local, "--older-than", "90d")
    assert freed == {**planned, "dry_run": False}
    assert not old.exists()
    assert all(each.exists() for each in kept)
    assert local.inbox("old") == []
    assert {each.run_id for each in local.inbox()} == {"unread", "young", "open"}
    assert list(Path(home.blobs).iterdir()) == []
    assert not list(Path(home.seen, "some-session").iterdir())
    assert not is_known(local, "old")
    assert gc(local, "--older-than", "90d")["runs"] == []
    assert local.wait(local.launch("keeper", run_id="old", size=2)).result == "xx"


def test_a_run_that_was_half_removed_is_not_listed_and_goes_with_the_next(local: LocalSagaflow) -> None:
    """As where the machine lost power in the middle, whatever is left."""
    home = local.settings.home
    cases = {"half-1": {"run.json", "going.json", "report.md"}, "half-2": {"going.json"}}
    for run_id, left in cases.items():
        folder = ended(local, run_id, days=100)
        (folder / "ending.json").rename(folder / retention.GOING)
        for each in folder.iterdir():
            if each.is_file() and each.name not in left:
                each.unlink()
    assert not cases.keys() & {run.run_id for run in runs.listing(home)}
    assert gc(local, "--older-than", "900d")["runs"] == list(cases)
    for run_id in cases:
        assert not Path(home.run(run_id)).exists()
        assert local.inbox(run_id) == []


def test_the_worker_does_it_by_itself_as_the_settings_say(local: LocalSagaflow) -> None:
    """And what Temporal keeps of what has ended is bound to the same."""
    folders = [ended(local, f"days-{days}", days=days) for days in (9, 11)]
    done = in_process(local, "config", "set", "keep.runs_days", "10")
    assert done.returncode == 0, done.stderr
    os.kill(local.pid("worker"), signal.SIGKILL)
    eventually(lambda: not folders[1].exists(), "the older one goes", seconds=60)
    assert folders[0].exists()

    async def retention_days(client: Client) -> int:
        """What the server was told."""
        from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest  # noqa: PLC0415 - of this test alone

        request = DescribeNamespaceRequest(namespace=client.namespace)
        found = await client.workflow_service.describe_namespace(request)
        return int(found.config.workflow_execution_retention_ttl.ToTimedelta().days)

    assert with_client(local, retention_days) == 10
    assert in_process(local, "config", "unset", "keep.runs_days").returncode == 0


def test_an_age_that_is_none_is_a_wrong_use(local: LocalSagaflow) -> None:
    """Nothing is removed for it."""
    for given in ("90", "soon", "5m"):
        done = in_process(local, "gc", "--older-than", given)
        assert done.returncode == 2
        assert done.stderr.startswith(f"sagaflow: --older-than is '{given}', but must be")


def note(home: Home, name: str, days: float) -> records.Entry:
    """An entry of that age that belongs to no run, such as that of a schedule."""
    entry = records.Entry(f"{name}~1", name, "x", "NOTE", "said", records.moment(_days_ago(days)))
    inbox.deliver(home, entry)
    return entry


def _days_ago(days: float) -> float:
    return datetime.now(UTC).timestamp() - days * 86_400


def test_notes_without_a_run_go_once_they_were_read_and_are_old(home: Home) -> None:
    """An unread one stays, however old it is."""
    for name, days in (("old", 40), ("unread", 40), ("young", 20)):
        note(home, name, days)
    inbox.dismiss(home, ["old", "young"])
    before = datetime.now(UTC) - timedelta(days=30)
    assert retention.drop_notes(home, before, dry_run=True).entries == 1
    assert retention.drop_notes(home, before, dry_run=False).entries == 1
    assert {entry.run_id for entry, _ in inbox.entries(home)} == {"unread", "young"}


def test_logs_that_were_put_aside_go(home: Home) -> None:
    """Those in use do not."""
    for name, days in (("worker.log", 40), ("worker.log.1", 40), ("engine.log.1", 20)):
        path = Path(home.engine, name)
        path.write_text("said", encoding="utf-8")
        age(path, days)
    before = datetime.now(UTC) - timedelta(days=30)
    freed = retention.drop_logs(home, before, dry_run=False)
    assert (freed.logs, freed.bytes) == (1, 4)
    assert {each.name for each in Path(home.engine).iterdir()} == {"worker.log", "engine.log.1"}


def test_a_run_that_is_launched_or_retried_meanwhile_stays(home: Home) -> None:
    """Its marker came after it was found to be old; so does one that an open run goes on from."""
    for name in ("again", "parent"):
        folder = Path(home.run(name))
        folder.mkdir()
        (folder / "ending.json").write_text("{}", encoding="utf-8")
        age(folder / "ending.json", 100)
    now = datetime.now(UTC)
    assert retention.expired(home, set(), now) == ["again", "parent"]
    marker = records.OpenRun("again", "x", "0" * 64, "", records.now(), "")
    assert markers.claim(home, marker)
    Path(home.run("again"), "run.json").write_text('{"ancestors": ["parent"]}', encoding="utf-8")
    assert retention.remove(home, "again", []) == retention.Freed()
    assert Path(home.run("again"), "ending.json").exists()
    assert retention.expired(home, set(), now) == []


def test_what_is_left_for_the_next_time_is_said() -> None:
    """Only so many runs go at once."""
    freed = retention.Freed(("a-1", "b-1"), entries=1, bytes=2_000_000, left=3)
    assert (
        cli_gc.sentence(freed, dry_run=False)
        == "removed: 2 runs, 1 inbox entry (2.0 MB); 3 more runs to go another time"
    )


def test_payloads_are_found_by_whom_they_were_stored_for(home: Home) -> None:
    """What anyone else has put there is nobody's."""
    begun = {owner: base64.urlsafe_b64encode(owner.encode()).decode().rstrip("=") for owner in ("run-1", "rün~2")}
    for name in (f"{begun['run-1']}-0", f"{begun['run-1']}-1", f"{begun['rün~2']}-2", "no-such", "x.tmp", "\xff-3"):
        Path(home.blobs, name).write_bytes(b"")
    found = retention.payloads_of(retention.payloads(home), ["run-1", "rün~2", "none"])
    assert sorted(path.name[-1] for path in found) == ["0", "1", "2"]
