"""`sagaflow watch`: runs as they go on, on a screen that changes, or in a pipe a line for each change."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import time
import tty
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console, ConsoleDimensions
from rich.live import Live

from sagaflow_mcp import run_words, terminal, watch_view
from sagaflow_mcp.errors import Failure
from sagaflow_mcp.watching import Watcher

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.runs import Run

LOOK_SECONDS = 0.5
"""Between two looks."""

USUAL_SIZE = ConsoleDimensions(80, 24)

QUIT = frozenset("qQ\x04")
"""Keys that end it: q, and ^D."""


def watch(options: argparse.Namespace, home: Home) -> int:
    """Show runs until q or ^C is pressed; in a pipe until none is open."""
    watcher = Watcher(home, options.run_ids)
    try:
        found = watcher.look()
        if options.once or not terminal.Screen(sys.stdout, os.environ).can_change:
            _print_changes(watcher, found, once=options.once)
        else:
            _show(watcher, found)
    except FileNotFoundError as error:
        raise Failure(f"the Sagaflow home {home.root!r} is gone: there is no {str(error.filename)!r}") from None
    return 0


def _print_changes(watcher: Watcher, found: Sequence[Run], *, once: bool) -> None:
    """Print a line for each run that has changed, as long as one is open."""
    shown: dict[str, str] = {}
    if not watcher.is_named and not (found if once else any(run.is_open for run in found)):
        print("no run is open")
    while True:
        for run in found:
            line = run_words.line(run)
            # What ended before one began to watch is no change; of one that was named it is what was asked for.
            if shown.get(run.run_id) != line and (once or run.is_open or run.run_id in shown or watcher.is_named):
                print(line, flush=True)
                shown[run.run_id] = line
        if once or not any(run.is_open for run in found):
            return
        time.sleep(LOOK_SECONDS)
        found = watcher.look()


def _show(watcher: Watcher, found: Sequence[Run]) -> None:
    """Show the runs on the whole screen until a key ends it."""
    stops = _Stops()
    while True:
        with stops.heard(), _keys() as keys:
            is_over = _until_left(watcher, found, keys, stops)
        if is_over:
            return
        # As the terminal was: whoever presses ^Z wants the shell back.
        os.kill(os.getpid(), signal.SIGSTOP)
        found = watcher.look()


def _until_left(watcher: Watcher, found: Sequence[Run], keys: _Keys, stops: _Stops) -> bool:
    """Whether a key has ended it; false when it is to be suspended."""
    console = Console()
    with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            # Asked each time, of the terminal itself: a window can be made larger or smaller, whatever COLUMNS says.
            width, height = console.size = _size()
            live.update(watch_view.screen(found, width, height, time.strftime("%H:%M:%S")), refresh=True)
            pressed = keys.pressed(LOOK_SECONDS)
            if QUIT & set(pressed):
                return True
            if stops.come:
                stops.come = False
                return False
            found = watcher.look()


def _size() -> ConsoleDimensions:
    """How large the terminal is now."""
    try:
        found = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        return USUAL_SIZE
    return ConsoleDimensions(found.columns or USUAL_SIZE.width, found.lines or USUAL_SIZE.height)


class _Stops:
    """Hears ^Z and a plain kill, so that the screen can be given back before the command is suspended or ended."""

    def __init__(self) -> None:
        self.come = False

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        before = signal.signal(signal.SIGTSTP, self._note), signal.signal(signal.SIGTERM, _end)
        try:
            yield
        finally:
            for number, handler in zip((signal.SIGTSTP, signal.SIGTERM), before, strict=True):
                signal.signal(number, handler)

    def _note(self, *_: object) -> None:
        self.come = True


def _end(number: int, *_: object) -> NoReturn:
    """End as the signal would, but with the screen given back."""
    raise SystemExit(128 + number)


class _Keys:
    """The keys that are pressed at the terminal of standard input; none where it is no terminal."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def pressed(self, seconds: float) -> str:
        """What is pressed within `seconds`; returns at once when something is."""
        if self._descriptor is None:
            time.sleep(seconds)
            return ""
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        if not ready:
            return ""
        typed = os.read(self._descriptor, 100).decode("utf-8", "replace")
        if not typed:  # The terminal is gone.
            self._descriptor = None
        return typed


@contextlib.contextmanager
def _keys() -> Iterator[_Keys]:
    """Keys are heard at once and not shown in the body; ^C and ^Z do what they do."""
    if not terminal.is_terminal(sys.stdin):
        yield _Keys(None)
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield _Keys(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
