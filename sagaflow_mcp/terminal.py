"""What a terminal gets beyond the text that a pipe gets: emphasis, lines broken at spaces, and a line that changes."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

Role = Literal["", "good", "bad", "care", "faint", "strong"]
"""Why a piece of text stands out; empty when it does not."""

Paint = Callable[[str, Role], str]
"""Gives a piece of text the look of its role."""

CODES: dict[Role, str] = {"good": "32", "bad": "31", "care": "33", "faint": "2", "strong": "1"}
"""The look of each role (ECMA-48, select graphic rendition), in the colours that the user's terminal has for them."""

HANG = 4
"""How far the lines that go on are indented."""

FEWEST_COLUMNS = 20
"""On a terminal that is narrower still, lines are not broken at spaces."""

USUAL_COLUMNS = 80

_LOOKS = re.compile(r"\x1b\[[0-9;]*m")


def plain(text: str, _role: Role) -> str:
    """`text` as it is."""
    return text


def painted(text: str, role: Role) -> str:
    """`text` with the look of `role`."""
    return f"\x1b[{CODES[role]}m{text}\x1b[0m" if role and text else text


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person sees what is written to `stream`, which is None where the shell has closed it."""
    return stream is not None and stream.isatty()


def has_colour(environ: Mapping[str, str], *, on_terminal: bool) -> bool:
    """Whether to use colours: `NO_COLOR` goes before `FORCE_COLOR` and `CLICOLOR_FORCE`, and these before the rest.

    Empty means unset, and so does 0 for those that force.
    """
    if environ.get("NO_COLOR"):
        return False
    if any(environ.get(name, "0") not in {"", "0"} for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return on_terminal and _knows_looks(environ)


def _knows_looks(environ: Mapping[str, str]) -> bool:
    """Whether the terminal does more with its escapes than show them."""
    return environ.get("TERM", "dumb") not in {"", "dumb"}


class Screen:
    """An output stream, as its reader can see it."""

    def __init__(self, stream: TextIO | None, environ: Mapping[str, str]) -> None:
        self._stream = stream
        self.is_terminal = is_terminal(stream)
        colour = has_colour(environ, on_terminal=self.is_terminal)
        self.paint: Paint = painted if colour else plain
        self.can_change = self.is_terminal and _knows_looks(environ)
        """Whether a line that was written can be written over."""

    def show(self, line: str, end: str = "\n") -> None:
        """Write `line`, on a terminal broken at spaces where it is too long."""
        if self._stream is not None:
            text = broken(line, self._columns()) if self.is_terminal else line
            print(text, end=end, file=self._stream, flush=not end.endswith("\n"))

    def change(self, line: str) -> None:
        """Put the beginning of `line`, as much as fits, in place of what was put there last; empty clears it."""
        if self._stream is not None:
            # Not into the last column: some terminals then begin the next line.
            self._stream.write(f"\r{cut(line, self._columns() - 1)}\x1b[K")
            self._stream.flush()

    def _columns(self) -> int:
        """How wide the terminal is at this moment."""
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or USUAL_COLUMNS  # type: ignore[union-attr] # Asked of a terminal.
        except (OSError, ValueError):
            return USUAL_COLUMNS


def width(text: str) -> int:
    """The columns that `text` takes on a terminal."""
    bare = _LOOKS.sub("", text)
    if bare.isascii():
        return len(bare)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in {"F", "W"} else 1 for c in bare
    )


def cut(text: str, columns: int) -> str:
    """The beginning of `text` that fits into `columns`; it ends with … where something was cut."""
    if width(text) <= columns:
        return text
    while text and width(text) >= columns:
        text = text[:-1]
    return text + "…"


def broken(line: str, columns: int) -> str:
    """`line` broken at spaces so that each part fits into `columns`, the later ones indented; long words stay whole.

    Whoever copies a path or a run's id from the screen gets it whole.
    """
    if columns < FEWEST_COLUMNS or width(line) <= columns:
        return line
    lead = line[: len(line) - len(line.lstrip(" "))]
    rows, row = [], lead
    for word in line[len(lead) :].split(" "):
        longer = f"{row} {word}" if row.strip() else row + word
        if width(longer) <= columns or not row.strip():
            row = longer
        else:
            rows.append(row.rstrip())
            row = lead + " " * HANG + word
    return "\n".join([*rows, row])
