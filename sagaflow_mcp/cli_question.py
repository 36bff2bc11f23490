"""A question to whoever sits at the terminal."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios

from sagaflow_mcp import terminal
from sagaflow_mcp.errors import Failure, Refusal


def refuse_without_terminal(sentence: str) -> None:
    """Return when somebody can be asked; Refusal with `sentence` otherwise."""
    if not (terminal.is_terminal(sys.stdin) and terminal.is_terminal(sys.stderr)):
        raise Refusal(sentence)


def screen() -> terminal.Screen:
    """Where questions are put: standard output is for what the command has to say, which may be JSON."""
    return terminal.Screen(sys.stderr, os.environ)


def ask(question: str) -> None:
    """Return when the user agrees to `question`; Failure when not."""
    if line(f"{question} [y/N]").strip().lower() not in {"y", "yes"}:
        raise Failure("nothing was changed")


def line(question: str) -> str:
    """The line that is typed as the answer to `question`; empty at the end of the input.

    Raises:
        KeyboardInterrupt: ^C was pressed.
    """
    try:
        # What was typed, or pasted, before the question was seen is no answer to it.
        termios.tcflush(sys.stdin, termios.TCIFLUSH)
        screen().show(question, end=" ")
        return _line()
    except KeyboardInterrupt:
        raise KeyboardInterrupt("nothing was changed") from None


def _line() -> str:
    """The line that is typed; empty at the end of the input. KeyboardInterrupt at ^C."""
    heard, tell = os.pipe()
    os.set_blocking(tell, False)
    before = signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    try:
        # Not readline alone: a ^C in the moment before it waits would be heard only after the next line.
        select.select([sys.stdin, heard], [], [])
        return sys.stdin.readline()
    finally:
        signal.set_wakeup_fd(before)
        os.close(heard)
        os.close(tell)
