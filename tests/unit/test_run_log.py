"""The log of a run."""

from __future__ import annotations

import contextvars
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from sagaflow_mcp import artifacts
from sagaflow_mcp.durable import context, run_log
from sagaflow_mcp.durable.context import StepContext
from sagaflow_mcp.durable.run_log import RunLog
from sagaflow_mcp.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagaflow_mcp.paths import Home


@pytest.fixture
def log(home: Home) -> Iterator[Path]:
    """The log of the run `r-1`, to which a worker of the home would write."""
    Path(home.run("r-1")).mkdir()
    handler, root = RunLog(home), logging.getLogger()
    root.addHandler(handler)
    yield Path(home.run("r-1"), "log.txt")
    root.removeHandler(handler)


def in_step(say: Callable[[], object], label: str = "reader", run_id: str = "r-1") -> None:
    """What `say` logs while a step of the run is under way."""
    nothing = cast("Any", None)
    step = StepContext(nothing, run_id=run_id, skill="x", project_dir="", key="k", codec=nothing, label=label)

    def perform() -> None:
        context.enter(step)
        say()

    contextvars.copy_context().run(perform)


def lines(log: Path) -> list[str]:
    """What the log says, without times."""
    found = log.read_text(encoding="utf-8").splitlines()
    return [line if line.startswith(" ") else line.partition(" ")[2] for line in found]


@pytest.mark.parametrize("name", ["own", "sagaflow_skills.greet_abc.steps", "temporalio.activity", ""])
def test_what_a_step_logs_is_in_the_log_of_its_run(log: Path, name: str) -> None:
    """With the step's label, whatever the logger is called."""
    in_step(lambda: logging.getLogger(name).warning("read %d pages", 7))
    assert lines(log) == ["WARNING reader: read 7 pages"]


@pytest.mark.parametrize("name", ["sagaflow_mcp.worker", "temporalio.worker", "temporalio"])
def test_what_the_machinery_logs_is_not(log: Path, name: str) -> None:
    """Also in the middle of a step."""
    in_step(lambda: logging.getLogger(name).warning("no"))
    assert not log.exists()


def test_of_the_libraries_that_calls_go_through_only_warnings_are(log: Path) -> None:
    """A line for each request would be no use."""
    chatty = logging.getLogger("httpx2")
    chatty.setLevel(logging.INFO)
    for level in (logging.INFO, logging.WARNING):
        in_step(lambda level=level: chatty.log(level, "slow"))  # type: ignore[misc] # Of a loop.
    assert lines(log) == ["WARNING reader: slow"]


def test_what_is_logged_outside_of_steps_belongs_to_no_run(log: Path) -> None:
    """The worker's own log has it."""
    logging.getLogger("own").warning("no")
    assert not log.exists()


def test_no_record_can_look_like_several_or_steer_a_terminal(log: Path) -> None:
    """Further lines of a record are indented."""
    in_step(lambda: logging.getLogger("own").warning("a\n2030 INFO x: b\x1b[31m\r\nc"), label="re\nad\x1b[31mer")
    assert lines(log) == ["WARNING re ader: a", "    2030 INFO x: b", "    c"]


def test_a_traceback_is_kept(log: Path) -> None:
    """For people; `show` leaves it out for agents."""

    def fail() -> None:
        try:
            int("planted")
        except ValueError:
            logging.getLogger("own").exception("it failed")

    in_step(fail)
    told = lines(log)
    assert told[0] == "ERROR reader: it failed"
    assert told[-1] == "    ValueError: invalid literal for int() with base 10: 'planted'"


def test_a_long_log_loses_its_older_half(log: Path) -> None:
    """And says so; its lines stay whole."""
    log.write_text("".join(f"old {number}\n" for number in range(200_000)), encoding="utf-8")
    in_step(lambda: logging.getLogger("own").warning("new"))
    text = log.read_text(encoding="utf-8")
    assert len(text) < run_log.SIZE_LIMIT
    assert text.startswith(run_log.DROPPED + "old ")
    assert text.endswith("WARNING reader: new\n")


def test_a_long_record_is_cut(log: Path) -> None:
    """A whole page of the web, say."""
    in_step(lambda: logging.getLogger("own").warning("word " * 100_000))
    assert log.stat().st_size < 2 * run_log.RECORD_LIMIT


def test_a_log_that_cannot_be_written_harms_nothing(log: Path) -> None:
    """The folder may be gone."""
    in_step(lambda: logging.getLogger("own").warning("no"), run_id="gone")
    assert not log.exists()


def test_the_log_is_no_artifact(log: Path) -> None:
    """A skill cannot write over it."""
    with pytest.raises(Refusal, match="is one of Sagaflow's own files"):
        artifacts.write(log.parent, "log.txt", "mine")
