"""Processes known by their locks, real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import processes
from sagaflow_mcp.errors import Failure
from sagaflow_mcp.processes import Child, Place
from tests import waiting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMIT = 10
"""Seconds that anything here may take."""


class Endings:
    """What `Child.watch` calls, and a wait for it."""

    def __init__(self) -> None:
        self.text = ""
        self._called = threading.Event()

    def __call__(self, ending: str) -> None:
        """Take the ending."""
        self.text = ending
        self._called.set()

    def wait(self) -> str:
        """How the process ended."""
        assert self._called.wait(LIMIT)
        return self.text


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A place whose process, if any, is ended afterwards."""
    place = Place(str(tmp_path), "child")
    yield place
    found = Child.found(place)
    if found is not None:
        found.end(0)


def test_a_lock_is_given_to_one_at_a_time(place: Place) -> None:
    """The second asker gets None, and the lock once the first has let go."""
    first = processes.acquire(place.lock)
    assert first is not None
    assert processes.acquire(place.lock, 0) is None
    os.close(first)
    second = processes.acquire(place.lock)
    assert second is not None
    os.close(second)


def test_nothing_is_alive_where_nothing_was_started(place: Place) -> None:
    """A missing lock file means dead, and has no pid."""
    assert not place.alive()
    assert place.pid() is None
    assert Child.found(place) is None


def test_asking_at_once_never_makes_the_dead_look_alive(place: Place) -> None:
    """Those who ask do not take each other for the process."""
    os.close(os.open(place.lock, os.O_CREAT | os.O_RDWR))
    with ThreadPoolExecutor(8) as pool:
        assert not any(pool.map(lambda _: place.alive(), range(400)))


def test_a_child_lives_exactly_as_long_as_its_lock_is_held(place: Place) -> None:
    """Alive from the start, dead after SIGKILL, with its pid known in between."""
    child = Child.spawn(place, ["sleep", "60"])
    ended = Endings()
    child.watch(ended)
    assert place.alive()
    os.kill(child.pid, signal.SIGKILL)
    assert ended.wait() == "SIGKILL"
    assert place.gone(LIMIT)
    assert place.pid() is None


def test_an_exit_status_is_told(place: Place) -> None:
    """The ending names it, and the log's last line says more."""
    ended = Endings()
    Child.spawn(place, ["/bin/sh", "-c", "echo first; echo 'the \033[31mreason\033[0m' >&2; exit 3"]).watch(ended)
    assert ended.wait() == "exit status 3"
    assert "reason" in processes.last_line(place.log)
    assert "\033" not in processes.last_line(place.log)


def test_a_child_outlives_its_parent_and_is_found_by_the_next(place: Place, tmp_path: Path) -> None:
    """Its death is noticed by one who cannot wait for it as a parent."""
    code = (
        "import sys; from sagaflow_mcp.processes import Child, Place; "
        "Child.spawn(Place(sys.argv[1], 'child'), ['sleep', '60'])._process.returncode = 0"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=LIMIT)
    child = Child.found(place)
    assert child is not None
    ended = Endings()
    child.watch(ended)
    os.kill(child.pid, signal.SIGKILL)
    assert ended.wait() == "an unknown exit status"


def test_end_kills_what_does_not_heed_sigterm(place: Place) -> None:
    """Also what such a child had started."""
    child = Child.spawn(place, ["/bin/sh", "-c", "trap '' TERM; sleep 60 & echo begun; wait"])
    ended = Endings()
    child.watch(ended)
    waiting.eventually(lambda: processes.last_line(place.log) == "begun", "the child's word")
    child.end(0.1)
    assert ended.wait() == "SIGKILL"
    assert not place.alive()


def test_what_a_dead_child_left_behind_is_killed(place: Place) -> None:
    """A grandchild that inherited the lock does not keep the next child from starting."""
    ended = Endings()
    Child.spawn(place, ["/bin/sh", "-c", "sleep 60 & exit 0"]).watch(ended)
    assert ended.wait() == "exit status 0"
    successor = Child.spawn(place, ["sleep", "60"])
    found = Child.found(place)
    assert found is not None
    assert found.pid == successor.pid
    successor.watch(Endings())


def test_a_program_that_does_not_exist_ends_with_the_shell_s_reason(place: Place) -> None:
    """As exit status 127, with a line in the log."""
    ended = Endings()
    Child.spawn(place, ["/nonexistent/program"]).watch(ended)
    assert ended.wait() == "exit status 127"
    assert "/nonexistent/program" in processes.last_line(place.log)


def test_a_lock_without_a_pid_is_reported_rather_than_guessed_at(place: Place) -> None:
    """Nobody is killed on the strength of a damaged pid file."""
    lock = processes.acquire(place.lock)
    assert lock is not None
    try:
        with pytest.raises(Failure, match="does not name"):
            Child.found(place)
    finally:
        os.close(lock)


def test_a_log_is_rotated_under_a_writer_that_goes_on(tmp_path: Path) -> None:
    """The writer's next line begins the emptied file; two older ones are kept."""
    path = tmp_path / "child.log"
    with path.open("ab", buffering=0) as log:
        for text in (b"first", b"second", b"third"):
            log.write(text)
            processes.rotate(str(path), limit=3)
        log.write(b"now")
    assert path.read_bytes() == b"now"
    assert (tmp_path / "child.log.1").read_bytes() == b"third"
    assert (tmp_path / "child.log.2").read_bytes() == b"second"


def test_a_small_log_is_left_alone(tmp_path: Path) -> None:
    """Nothing is moved below the limit, nor where there is no log."""
    path = tmp_path / "child.log"
    processes.rotate(str(path))
    path.write_bytes(b"little")
    processes.rotate(str(path))
    assert [entry.name for entry in tmp_path.iterdir()] == ["child.log"]
