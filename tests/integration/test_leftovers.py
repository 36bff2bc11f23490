"""What nobody needs any more goes, and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import claude_process, leftovers, markers, pinning
from sagaflow_mcp.testing import LocalSagaflow
from tests.integration.author import Author
from tests.integration.clients import with_client
from tests.waiting import eventually

if TYPE_CHECKING:
    from temporalio.client import Client

    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.pinning import Pinned

NOTHING: set[tuple[str, str]] = set()


def age(path: Path, days: float) -> Path:
    """`path`, as if last written so many days ago."""
    then = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    os.utime(path, (then, then))
    return path


def ended_run(home: Home, name: str, pinned: Pinned, *, launched: float, ended: float) -> None:
    """Leave the folder of a run that was launched and that ended so many days ago."""
    folder = Path(home.run(name))
    folder.mkdir()
    about = folder / "run.json"
    about.write_text(json.dumps({"skill": pinned.name, "digest": pinned.digest}), encoding="utf-8")
    (folder / "ending.json").write_text("{}", encoding="utf-8")
    age(about, launched)
    age(folder / "ending.json", ended)


def clear(home: Home, versions: set[tuple[str, str]] = NOTHING, *, since: float = 0) -> int:
    """Clear what is not needed while these versions are open, the oldest of their runs for so many days."""
    now = datetime.now(UTC)
    return leftovers.clear(home, leftovers.InUse(versions, now - timedelta(days=since)), now).versions


def pin_editions(author: Author, *editions: str) -> dict[str, Pinned]:
    """A pinned version of each edition, by its name."""
    found = {}
    for edition in editions:
        author.edit(**{"facts.py": f"VERSION = {edition!r}\n"})
        found[edition] = author.pin()
    return found


def test_versions_that_no_run_needs_are_dropped(tmp_path: Path, home: Home) -> None:
    """Kept are those of open and of newly ended runs, that of the last day, and the one that was used last."""
    author = Author(tmp_path, home)
    pinned = pin_editions(author, "open", "failed lately", "ended long ago", "never run", "used today")
    ended_run(home, "failed-lately", pinned["failed lately"], launched=30, ended=6)
    ended_run(home, "ended-long-ago", pinned["ended long ago"], launched=30, ended=8)
    age(pinned.pop("used today").folder, 0.9)
    for each in pinned.values():
        age(each.folder, 2)
    cut_off = pinned["open"].folder.with_name(".0123.1.ab")
    cut_off.joinpath("code").mkdir(parents=True)
    age(cut_off, 2)
    assert clear(home, {("two-words", pinned["open"].digest)}) == 2
    assert {name for name, each in pinned.items() if each.code.is_dir()} == {"open", "failed lately"}
    assert not list(Path(home.skills, "two-words").glob(".*"))


def test_the_version_that_was_used_last_stays_and_a_dropped_one_is_copied_again(tmp_path: Path, home: Home) -> None:
    """However long ago that was."""
    author = Author(tmp_path, home)
    first, second = pin_editions(author, "first", "second").values()
    age(first.folder, 300)
    age(second.folder, 200)
    assert clear(home) == 1
    assert [first.code.is_dir(), second.code.is_dir()] == [False, True]
    assert pin_editions(author, "first")["first"] == first
    pinning.verify(first)


COPIES = 50
"""How often the version is dropped while it is launched again and again."""

DROPPER = """
import sys, time
from sagaflow_mcp import pinning
from sagaflow_mcp.paths import Home
print("begun", flush=True)
while True:
    pinning.drop_unused(Home(sys.argv[1]), set(), time.time() - 3600)
"""


def test_a_launch_finds_a_version_whole_or_copies_it_again(tmp_path: Path, home: Home) -> None:
    """Also when another process drops old versions at that very moment."""
    author = Author(tmp_path, home)
    newest, old = pin_editions(author, "newest", "old").values()
    age(newest.folder, -1)
    command = [sys.executable, "-c", DROPPER, home.root]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as dropper:
        try:
            assert dropper.stdout is not None
            assert dropper.stdout.readline() == "begun\n"
            copies: set[int] = set()
            while len(copies) < COPIES:
                with contextlib.suppress(FileNotFoundError):
                    age(old.folder, 2)
                assert author.pin() == old
                pinning.verify(old)
                copies.add(old.code.stat().st_mtime_ns)
        finally:
            dropper.kill()


def test_payloads_go_when_no_history_can_refer_to_them(tmp_path: Path, home: Home) -> None:
    """Temporal keeps a history for 90 days after its end, and the first payload of a long run is as old as the run."""
    (pinned,) = pin_editions(Author(tmp_path, home), "one").values()
    for days in (130, 150, 210, 260, 310):
        blob = Path(home.blobs, str(days))
        blob.touch()
        age(blob, days)
    Path(home.blobs, "new").touch()
    ended_run(home, "long-forgotten", pinned, launched=400, ended=101)

    def left() -> list[str]:
        return sorted(each.name for each in Path(home.blobs).iterdir())

    clear(home, since=300)
    assert left() == ["130", "150", "210", "260", "new"]
    ended_run(home, "ended-lately", pinned, launched=200, ended=99)
    clear(home)
    assert left() == ["130", "150", "new"]
    age(Path(home.run("ended-lately")) / "ending.json", 101)
    clear(home)
    assert left() == ["new"]


def test_sessions_of_long_ago_are_forgotten(home: Home) -> None:
    """What they were shown, they are not shown again."""
    for name, days in (("old", 91), ("young", 89)):
        session = Path(home.seen, name)
        session.mkdir()
        (session / "run~1").touch()
        age(session, days)
    clear(home)
    assert [each.name for each in Path(home.seen).iterdir()] == ["young"]


ORPHANS = """
from temporalio import workflow
from temporalio.workflow import ParentClosePolicy

@workflow.defn
class Orphan:
    def __init__(self) -> None:
        self.told = False

    @workflow.signal
    def tell(self) -> None:
        self.told = True

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: self.told)
        from skills.two_words.facts import VERSION
        return VERSION

@workflow.defn
class Reader:
    @workflow.run
    async def run(self, name: str) -> str:
        child = await workflow.start_child_workflow(Orphan.run, parent_close_policy=ParentClosePolicy.ABANDON)
        return child.id
"""


def test_a_child_that_outlives_its_run_keeps_its_version(tmp_path: Path) -> None:
    """A new worker drops the version that nobody needs, and goes on with that of the child of a run of long ago."""
    with LocalSagaflow(skills=[tmp_path / "skills"]) as local:
        home = local.settings.home
        author = Author(tmp_path, home)
        author.edit(**{"workflow.py": ORPHANS})
        run = local.wait(local.launch("two-words"))
        pinned = {"one": author.pin(), **pin_editions(author, "unused", "last used")}
        for days, each in zip((3, 2, 0), pinned.values(), strict=True):
            age(each.folder, days)
        eventually(lambda: not markers.exists(home, run.run_id))
        age(Path(home.run(run.run_id)) / "ending.json", 8)
        os.kill(local.pid("worker"), signal.SIGKILL)
        eventually(lambda: not pinned["unused"].folder.exists())
        assert pinned["one"].folder.exists()

        async def told(client: Client) -> Any:
            """What the child returns once it is told to."""
            orphan = client.get_workflow_handle(run.result)
            await orphan.signal("tell")
            return await orphan.result()

        assert with_client(local, told) == "one"


def test_notes_on_processes_that_ended_long_ago_go(home: Home) -> None:
    """Of a living one, however old, and of one that ended lately, they stay: its session may be resumed."""
    own = claude_process.of(os.getpid())
    assert own is not None
    kept = {own.key, f"{own.key}.woken", "1-2", "README"}
    for name in (*kept, "1-1", "1-1.waiter", "1-1.woken", f"{os.getpid()}-1"):
        Path(home.sessions, name).touch()
        age(Path(home.sessions, name), 80 if name == "1-2" else 100)
    clear(home)
    assert {path.name for path in Path(home.sessions).iterdir()} == kept
