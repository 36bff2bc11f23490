"""`sagaflow skills test`: what it finds in skills that are right, and in those that are not."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp.crash_points import TASK_TIMEOUT, CrashPoints
from sagaflow_mcp.testing import LocalSagaflow
from tests import process_table
from tests.acceptance import tools
from tests.integration.clients import with_client
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from temporalio.client import Client, WorkflowExecutionDescription

SKILLS = Path(__file__).parent / "skills"


def judged(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What `sagaflow skills test WORDS` does."""
    return subprocess.run(
        [str(tools.COMMANDS / "sagaflow"), "skills", "test", *words],
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def test_each_case_has_its_verdict(tmp_path: Path) -> None:
    """What was expected and what came where it is wrong; one line where it is right.

    Where there are several skills, each case has its skill's name. Nothing is left in the user's folder.
    """
    done = judged(tmp_path, str(SKILLS / "wrong"), str(SKILLS / "steady"))
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        "FAIL  wrong/plain",
        '        result: expected "that"',
        '                came     "this"',
        'ok    steady/rain: DONE, {"said": "all of rain", "length": 10}',
    ]
    assert not (tmp_path / ".sagaflow").exists()


def test_what_a_skill_does_not_do_again_as_before_is_found(tmp_path: Path) -> None:
    """With the place of the kill: a step that adds a line twice, and one that is given something else on a replay.

    The latter although nothing that comes of it differs.
    """
    done = judged(tmp_path, "--crash", str(SKILLS / "flaw-append"), str(SKILLS / "flaw-order"))
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[:4] == [
        "FAIL  flaw-append/plain",
        "      worker killed after step 'append' ran, before its result was written down",
        r'''        file 'project/log.txt': expected "a line\n"''',
        r'''                                came     "a line\na line\n"''',
    ]
    first, where, expected, came, *_ = lines[4:]
    assert first == "FAIL  flaw-order/plain"
    assert where == "      worker killed after step 'count' ran, before its result was written down"
    assert expected.startswith("        step 'count' on a replay: expected ")
    assert came.startswith("                                  came     ")
    assert "word 1" in expected


def test_temporal_waits_only_briefly_for_the_workflow_task_of_a_dead_worker() -> None:
    """Where crash points are heeded; its own 10 s would be waited for at most of them."""
    with LocalSagaflow() as local:
        CrashPoints(local.settings.home).begin("greeting")
        run_id = local.launch("hello-world", run_id="greeting")

        async def described(client: Client) -> WorkflowExecutionDescription:
            """The run, as Temporal has it."""
            return await client.get_workflow_handle(run_id).describe()

        config = with_client(local, described).raw_description.execution_config
        assert config.default_workflow_task_timeout.ToTimedelta() == TASK_TIMEOUT


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where temporary files are put; not below `tmp_path`, since a socket's path may have about 100 characters."""
    with tempfile.TemporaryDirectory(prefix="sagaflow-test-") as folder:
        yield Path(folder)


def test_nothing_is_left_after_an_interruption(folder: Path) -> None:
    """Not even of a home that is being made ready when ^C is pressed, nor when it is pressed twice."""
    words = [str(tools.COMMANDS / "sagaflow"), "skills", "test", "--crash", str(SKILLS / "steady")]
    environment = {"HOME": str(folder), "TMPDIR": str(folder), "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, encoding="utf-8") as test:
        # The second home's engine has just begun to start.
        eventually(lambda: len(list(folder.glob("*/home/engine/engine.pid"))) > 1, "a second engine")
        for _ in range(2):
            test.send_signal(signal.SIGINT)
        assert test.communicate(timeout=60)[1].startswith("sagaflow: interrupted; ")
    assert test.returncode == 130
    # An engine that was just being started finds its home gone a moment later.
    eventually(lambda: process_table.naming(str(folder)) == [], "the end of all that was started")
    assert list(folder.glob("sagaflow-test-*")) == []


def test_a_skill_without_cases_is_refused(tmp_path: Path) -> None:
    """With the way to write one."""
    (tmp_path / "bare").mkdir()
    done = judged(tmp_path, str(tmp_path / "bare"))
    assert done.returncode == 1
    assert "has no test case; write one, such as tests/first.json" in done.stderr
