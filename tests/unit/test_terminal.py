"""What a terminal gets beyond plain text."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import terminal

if TYPE_CHECKING:
    from collections.abc import Mapping

SEEN = {"TERM": "xterm-256color"}


@pytest.mark.parametrize(
    ("environ", "on_terminal", "has"),
    [
        (SEEN, True, True),
        (SEEN, False, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": ""}, True, False),
        ({}, True, False),
        ({**SEEN, "NO_COLOR": "1"}, True, False),
        ({**SEEN, "NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"CLICOLOR_FORCE": "1"}, False, True),
        ({"FORCE_COLOR": "0", "CLICOLOR_FORCE": ""}, False, False),
        ({**SEEN, "FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, True),
    ],
)
def test_colours_are_for_terminals_and_for_those_who_ask(
    environ: Mapping[str, str], *, on_terminal: bool, has: bool
) -> None:
    """Whoever wants none goes before whoever wants some."""
    assert terminal.has_colour(environ, on_terminal=on_terminal) is has


def test_a_pipe_gets_each_line_whole_and_plain() -> None:
    """Whatever the width of the terminal that it comes from."""
    stream = io.StringIO()
    screen = terminal.Screen(stream, SEEN)
    screen.show(screen.paint("word", "good") + " word" * 100)
    assert stream.getvalue() == "word" + " word" * 100 + "\n"
    assert not screen.can_change


def test_a_closed_stream_takes_nothing_amiss() -> None:
    """There is nobody to see it."""
    screen = terminal.Screen(None, SEEN)
    screen.show("word")
    screen.change("word")


def test_what_is_painted_is_as_wide_as_before() -> None:
    """Every look ends where its text ends; nothing stays nothing."""
    for role in terminal.CODES:
        text = terminal.painted("word", role)
        assert text != "word"
        assert text.endswith("\x1b[0m")
        assert terminal.width(text) == len("word")
    assert terminal.painted("", "good") == ""
    assert terminal.painted("word", "") == "word"


@pytest.mark.parametrize(("text", "columns"), [("abc", 3), ("\u6f22\u5b57", 4), ("e\u0301", 1), ("", 0)])
def test_a_width_is_what_the_terminal_shows(text: str, columns: int) -> None:
    """Wide characters take two columns, and what is put on top of another none."""
    assert terminal.width(text) == columns


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [("short", 5, "short"), ("longer", 5, "long\u2026"), ("\u6f22\u5b57\u6f22\u5b57", 5, "\u6f22\u5b57\u2026")],
)
def test_what_is_cut_fits(text: str, columns: int, shown: str) -> None:
    """It says that something is missing."""
    assert terminal.cut(text, columns) == shown
    assert terminal.width(shown) <= columns


LINES = [
    "* 2030-01-31 08:15  DONE       hello-world-20300131-081500-ab12  hello, alice, and all the others",
    "    indented, and so are the lines that go on, however many there are of them in the end",
    f"{terminal.painted('RUNNING', 'care')}    {terminal.painted('x-1', 'strong')}  " + "\u6f22\u5b57 word " * 20,
    "word " * 50 + "/a/path/that/is/longer/than/the/whole/of/the/line/which/it/stands/in word",
    "one",
    "",
]


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("columns", [20, 40, 80])
def test_a_broken_line_loses_no_word_and_fits(line: str, columns: int) -> None:
    """A word that is too long for any line has one for itself."""
    rows = terminal.broken(line, columns).split("\n")
    assert " ".join(rows).split() == line.split()
    lead = len(line) - len(line.lstrip(" "))
    assert all(row.startswith(" " * (lead + terminal.HANG)) for row in rows[1:])
    assert all(terminal.width(row) <= columns or len(row.split()) == 1 for row in rows)


def test_a_line_that_fits_stays_as_it_is() -> None:
    """Its double spaces too; and so does any line where there is no room to break it."""
    assert terminal.broken("a  b   c", 8) == "a  b   c"
    assert terminal.broken("word " * 50, 19) == "word " * 50
