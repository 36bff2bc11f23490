"""`sagaflow watch` in a real terminal and in a pipe, and what `show` tells of the same run, across a crash."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from mcp import Client, StdioServerParameters

from sagaflow_mcp import runs
from sagaflow_mcp.testing import Error, LocalSagaflow, Rule
from tests import waiting
from tests.acceptance import tools
from tests.acceptance.terminals import INTERRUPT, Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

SAGAFLOW = str(tools.COMMANDS / "sagaflow")
SKILLS = tools.ROOT / "tests" / "integration" / "skills"
BAR = "\u2501"


@pytest.fixture(scope="module")
def sagaflow() -> Iterator[LocalSagaflow]:
    """A Sagaflow in which a run of 20 steps at a time has half of them done, and waits; one attempt has failed."""
    with LocalSagaflow(skills=[SKILLS]) as local:
        local.model.add(
            Rule(match="Plan", reply="Begin at the river."),
            Rule(match=r"field 7\.", error=Error(status=529), times=1),
            Rule(match=r"field (1\d|20)\.", reply="It is ripe.", hold="gate"),
            Rule(match=r"field 9\.", reply="It is ripe.", times=1),
            Rule(match=r"field [1-8]\.", reply="It is ripe."),
        )
        local.launch("harvest", run_id="harvest-1", question="Is it all?")
        waiting.eventually(lambda: progress(local).steps_finished == 10, "half of the steps are done")
        yield local


def progress(local: LocalSagaflow) -> runs.Progress:
    """How far the run has come."""
    return runs.get(local.settings.home, "harvest-1").progress


def test_what_a_run_says_of_its_progress_is_seen_at_once(sagaflow: LocalSagaflow) -> None:
    """However quickly one thing follows the other, and though the run then says nothing for long."""
    waiting.eventually(lambda: progress(sagaflow).done == 9, "all that is done is told")
    assert (progress(sagaflow).phase, progress(sagaflow).total) == ("reading", 20)


def terminal(local: LocalSagaflow, *words: str, columns: int = 100) -> Terminal:
    """`sagaflow watch` in a terminal."""
    # As some shells export it, whatever becomes of the window.
    environ = {**local.environment(), "COLUMNS": "80"}
    return Terminal([SAGAFLOW, "watch", *words], environ, local.folder, columns=columns)


def said(local: LocalSagaflow, *words: str) -> str:
    """What the command prints; it must succeed."""
    done = subprocess.run(
        [SAGAFLOW, *words],
        env=local.environment(),
        cwd=local.folder,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


@pytest.mark.parametrize(("keys", "status"), [("q", 0), ("\x04", 0), (INTERRUPT, 130)], ids=["q", "^D", "^C"])
def test_a_run_is_seen_with_a_bar_until_a_key_ends_it(sagaflow: LocalSagaflow, keys: str, status: int) -> None:
    """Phase, how far, what is under way; the screen is given back."""
    with terminal(sagaflow) as seen:
        seen.wait_for("harvest-1")
        seen.wait_for("reader x")
        row = next(line for line in seen.screen.splitlines() if "harvest-1" in line)
        assert row.startswith("RUNNING")
        assert "reading" in row
        assert BAR * 5 in row
        assert "/20" in row
        seen.type(keys)
        assert seen.ended() == status
    assert seen.output.rindex("\x1b[?1049l") > seen.output.index("\x1b[?1049h")
    assert "Traceback" not in seen.output
    assert seen.output.rindex("\x1b[?25h") > seen.output.index("\x1b[?25l")


@pytest.mark.parametrize("columns", [20, 45, 70])
def test_a_narrow_terminal_shows_what_fits(sagaflow: LocalSagaflow, columns: int) -> None:
    """The run by its id, no line broken."""
    with terminal(sagaflow, columns=columns) as seen:
        seen.wait_for("harvest-1" if columns > 20 else "harvest")
        rows = [line for line in seen.screen.splitlines() if line.strip()]
        assert rows[1].startswith("RUNNING")
        assert len([row for row in rows if "RUNNING" in row]) == 1
        seen.type("q")
        assert seen.ended() == 0


def test_a_pipe_gets_a_line_and_no_looks(sagaflow: LocalSagaflow) -> None:
    """With --once the command ends at once."""
    printed = said(sagaflow, "watch", "--once")
    assert printed.startswith("harvest-1: RUNNING: reading ")
    assert "of 20" in printed
    assert "\x1b" not in printed
    assert said(sagaflow, "watch", "--once", "harvest-1").splitlines() == printed.splitlines()[:1]


def test_a_pipe_is_told_that_there_is_nothing_to_see(tmp_path: Path) -> None:
    """Rather than nothing at all."""
    environment = {"PATH": tools.path(), "HOME": str(tmp_path)}
    for command in ("sagaflow watch --once", "sagaflow watch"):
        assert tools.run(command, env=environment).stdout == "no run is open\n"


@pytest.mark.anyio
async def test_whoever_waits_over_mcp_gets_numbers(sagaflow: LocalSagaflow) -> None:
    """With the total that the run says, and each higher than the last."""
    heard: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        """Keep what a progress bar would show."""
        heard.append((progress, total, message))
        if total is not None:
            sagaflow.model.release("nine")

    sagaflow.model.add(Rule(match=r"field 9\.", reply="It is ripe.", hold="nine"))
    started = StdioServerParameters(command=str(tools.COMMANDS / "sagaflow-mcp"), env=sagaflow.environment())
    launch = {"skill": "harvest", "args": {"fields": 9}, "run_id": "harvest-2", "wait_seconds": 60}
    with anyio.fail_after(90):
        async with Client(started) as client:
            done = await client.call_tool("launch_workflow", launch, progress_callback=hear)
    assert done.structured_content is not None
    assert done.structured_content["state"] == "DONE"
    numbers = [progress for progress, _, _ in heard]
    assert numbers == sorted(set(numbers))
    assert 9 in {total for _, total, _ in heard}


def test_a_run_that_is_not_there_is_refused(sagaflow: LocalSagaflow) -> None:
    """In one sentence."""
    done = subprocess.run(
        [SAGAFLOW, "watch", "nothing"], env=sagaflow.environment(), capture_output=True, encoding="utf-8", check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("sagaflow: there is no run 'nothing'")


def test_the_run_is_seen_through_a_crash_and_a_question_to_its_end(sagaflow: LocalSagaflow) -> None:
    """In a pipe each change is a line, and the command ends with the last open run."""
    with subprocess.Popen(
        [SAGAFLOW, "watch"], env=sagaflow.environment(), stdout=subprocess.PIPE, encoding="utf-8"
    ) as pipe:
        assert pipe.stdout is not None
        limit = threading.Timer(2 * waiting.LIMIT_SECONDS, pipe.kill)
        limit.start()
        assert pipe.stdout.readline().startswith("harvest-1: RUNNING: ")
        sagaflow.kill_worker()
        sagaflow.model.release("gate")
        lines = iter(pipe.stdout.readline, "")
        asks = next(line for line in lines if "asks" in line)
        assert "Is it all? (yes / no)" in asks
        shown = said(sagaflow, "show", "harvest-1", "--lines", "3")
        assert "\nanswer   sagaflow answer harvest-1 yes | no\n" in shown
        assert "phase    reading 20 of 20" in shown
        said(sagaflow, "answer", "harvest-1", "yes")
        assert list(lines)[-1] == "harvest-1: DONE: 140 tons\n"
        assert pipe.wait(timeout=waiting.LIMIT_SECONDS) == 0
        limit.cancel()


def test_what_has_happened_can_be_shown_afterwards(sagaflow: LocalSagaflow) -> None:
    """Steps with the retry and what was lost in the crash, files, log and report."""
    shown = said(sagaflow, "show", "harvest-1", "--lines", "5")
    assert shown.startswith("harvest-1: DONE at ")
    assert "  reader   20 of 20 done, 1 failed attempt, 1" in shown
    assert "lost in a crash" in shown
    assert "files    fields.txt  " in shown
    assert "transcript, the last 5 of " in shown
    assert "ERROR weigh: weighed by hand" in shown
    assert "ValueError: invalid literal for int() with base 10: 'no scales'" in shown
    assert shown.rstrip().endswith("</report>")
    found = json.loads(said(sagaflow, "show", "harvest-1", "--json"))
    (reader,) = [each for each in found["steps"] if each["label"] == "reader"]
    assert (reader["steps"], reader["done"], reader["retries"]) == (20, 20, 1)
    assert reader["losses"] >= 1
    assert [each["name"] for each in found["artifacts"]] == ["fields.txt", "report.md"]


def test_the_log_of_a_run_has_what_its_code_logs_once(sagaflow: LocalSagaflow) -> None:
    """Workflow code and steps, whatever they log with, and not again on the replay after the crash."""
    lines = Path(sagaflow.settings.home.run("harvest-1"), "log.txt").read_text(encoding="utf-8").splitlines()
    told = [line.partition(" ")[2] for line in lines if not line.startswith(" ")]
    assert told == [
        "INFO workflow: it begins",
        "INFO workflow: with Temporal's logger",
        "INFO weigh: weighing 20 fields",
        "ERROR weigh: weighed by hand",
    ]


def test_the_page_of_a_run_is_written_where_nothing_is(sagaflow: LocalSagaflow) -> None:
    """Into the current folder, to a file, or to standard output."""
    assert said(sagaflow, "show", "harvest-1", "--html").strip() == str(sagaflow.folder / "harvest-1.html")
    page = (sagaflow.folder / "harvest-1.html").read_text(encoding="utf-8")
    looks = [each.get("class") for each in ET.fromstring(page).iter() if each.get("class")]
    assert looks.count("bar finished") == 22
    assert looks.count("bar failed") == 1
    assert looks.count("bar lost") >= 1
    assert (looks.count("crashed"), looks.count("bar question"), looks.count("bar sleep")) == (1, 1, 1)
    command = [SAGAFLOW, "show", "harvest-1", "--html", "harvest-1.html"]
    done = subprocess.run(
        command, env=sagaflow.environment(), cwd=sagaflow.folder, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 1
    assert done.stderr.strip().endswith("is there already; give another name, or --force to replace it")
    assert said(sagaflow, *command[1:], "--force").strip() == str(sagaflow.folder / "harvest-1.html")
    assert said(sagaflow, "show", "harvest-1", "--html", "-").startswith("<!DOCTYPE html>")


def test_a_watch_is_suspended_and_goes_on(sagaflow: LocalSagaflow) -> None:
    """The shell has the screen meanwhile."""
    with terminal(sagaflow) as seen:
        seen.wait_for("harvest-1")
        seen.type("\x1a")
        seen.until("\x1b[?1049l")
        waiting.eventually(lambda: _state(seen.process.pid) == "T", "it is suspended")
        seen.process.send_signal(signal.SIGCONT)
        seen.until("\x1b[?1049h")
        seen.type("q")
        assert seen.ended() == 0


def test_a_watch_that_is_killed_gives_the_screen_back(sagaflow: LocalSagaflow) -> None:
    """With a plain kill, that is."""
    with terminal(sagaflow) as seen:
        seen.wait_for("harvest-1")
        seen.process.terminate()
        assert seen.ended() == 128 + signal.SIGTERM
    assert "Traceback" not in seen.output
    assert seen.output.rindex("\x1b[?1049l") > seen.output.rindex("\x1b[?1049h")


def _state(pid: int) -> str:
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, encoding="utf-8", check=True)
    return listed.stdout[:1]
