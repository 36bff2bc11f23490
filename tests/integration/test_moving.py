"""A home that is moved, or kept as a backup: what was open goes on there, and what has ended is still known."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from sagaflow_mcp import answering, engine_client, inbox, runs
from sagaflow_mcp.testing import LocalSagaflow
from tests.integration.clients import as_process
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

SKILL = '''
from sagaflow_mcp import skill


@skill("mover")
async def mover(ctx, size: int = 100_000) -> str:
    """Notes something before it asks and after, and carries a lot meanwhile."""
    large = await ctx.step(repeated, size)
    await ctx.artifact("before.txt", large)
    answer = await ctx.ask("Go on?", options=["yes", "no"])
    await ctx.artifact("after.txt", answer)
    return f"{answer} {len(large)}"


def repeated(size: int) -> str:
    """More than a history holds."""
    return "x" * size
'''


def said(local: LocalSagaflow, home: Path, *words: str) -> str:
    """What a command says that uses this home."""
    done = as_process(local, *words, SAGAFLOW_HOME=str(home))
    assert done.returncode == 0, done.stderr
    return done.stdout


def asks(local: LocalSagaflow, run_id: str) -> bool:
    """Whether the run asks something now."""
    return bool(runs.get(local.settings.home, run_id).questions)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalSagaflow]:
    """A Sagaflow with one run that has ended and one that asks."""
    (tmp_path / "skills" / "mover").mkdir(parents=True)
    (tmp_path / "skills" / "mover" / "workflow.py").write_text(SKILL, encoding="utf-8")
    with LocalSagaflow(skills=[tmp_path / "skills"]) as started:
        for run_id in ("ended", "open"):
            started.launch("mover", run_id=run_id)
            eventually(functools.partial(asks, started, run_id), "it asks")
        anyio.run(answering.answer, started.settings, "ended", "no")
        assert started.wait("ended").result == "no 100000"
        yield started


@pytest.fixture
def elsewhere(local: LocalSagaflow) -> Iterator[Path]:
    """Where another home can lie; its engine is ended."""
    folder = Path(tempfile.mkdtemp(prefix="sagaflow-test-"))
    yield folder / "moved"
    if (folder / "moved").exists():
        engine_client.stop(type(local.settings.home)(str(folder / "moved")))
    shutil.rmtree(folder)


def test_a_home_is_moved_and_a_backup_put_back(local: LocalSagaflow, elsewhere: Path) -> None:
    """With the engine stopped; a run goes on in either, and what happened in the one is no matter in the other."""
    home = Path(local.settings.home.root)
    engine_client.stop(local.settings.home)
    archive = elsewhere.with_name("backup.tar.gz")
    subprocess.run(["tar", "-C", str(home.parent), "-czf", str(archive), home.name], check=True)

    # The next command in the folder that was moved lets the run go on.
    shutil.move(home, elsewhere)
    assert "ended" in said(local, elsewhere, "runs")
    said(local, elsewhere, "answer", "open", "yes")
    assert said(local, elsewhere, "launch", "mover", "--id", "open", "--await").splitlines()[-1] == ("yes 100000")
    moved = type(local.settings.home)(str(elsewhere))
    assert (elsewhere / "runs" / "open" / "after.txt").read_text(encoding="utf-8") == "yes"
    entries = [entry for entry, _ in inbox.for_run(moved, "open") if entry.is_ending]
    assert [entry.status for entry in entries] == ["DONE"]
    assert not home.exists()
    shown = runs.get(moved, "ended")
    assert shown.result == "no 100000"
    assert Path(shown.report_path).parent == elsewhere / "runs" / "ended"
    engine_client.stop(moved)

    subprocess.run(["tar", "-C", str(home.parent), "-xzf", str(archive)], check=True)
    said(local, home, "answer", "open", "no")
    assert local.wait("open").result == "no 100000"
    assert local.wait("ended").result == "no 100000"
