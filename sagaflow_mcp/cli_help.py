"""What a command line is told when a command is missing or misspelt, and where help is asked for by name."""

from __future__ import annotations

import argparse
import difflib
from typing import TYPE_CHECKING, Any, NoReturn

from sagaflow_mcp.errors import UsageRefusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class Parser(argparse.ArgumentParser):
    """The grammar of a command, with those of the commands below it."""

    commands: Mapping[str, Parser] = {}
    is_incomplete = False
    """Whether it does nothing by itself: one of `commands` has to follow."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        raise UsageRefusal(f"{message}; see: {self.prog} --help")

    def group(self, dest: str, *, required: bool = True) -> Any:
        """Where the commands below this one are added; which one it is will be in the option `dest`."""
        group = self.add_subparsers(dest=dest, metavar="COMMAND", required=required, parser_class=Parser)
        self.commands = group.choices
        self.is_incomplete = required
        return group


def help(_options: argparse.Namespace) -> int:  # noqa: A001 - the command's name
    """Print the page on JSON; what else there is help for is asked for with --help."""
    from sagaflow_mcp import cli_output, json_fields  # noqa: PLC0415 - nothing else needs it

    screen = cli_output.screen()
    for line in json_fields.page().splitlines():
        screen.show(line)
    return 0


def completed(parser: Parser, words: Sequence[str]) -> list[str]:
    """`words` as they can be parsed: where the name of a command is missing, help is asked for.

    Raises:
        UsageRefusal: there is no command of that name.
    """
    if list(words) == ["help", "json"]:
        return list(words)
    asked = words[1:] if words[:1] == ["help"] else words
    found = reached(parser, asked)
    depth = len(found.prog.split()) - 1
    if found.commands and asked[depth:] and not asked[depth].startswith("-"):
        raise UsageRefusal(_unknown(parser, found, asked[depth]))
    wants_help = asked is not words or (found.is_incomplete and len(asked) == depth)
    return [*found.prog.split()[1:], "--help"] if wants_help else list(words)


def reached(parser: Parser, words: Sequence[str]) -> Parser:
    """The grammar of the command that `words` begin with."""
    for word in words:
        if word not in parser.commands:
            break
        parser = parser.commands[word]
    return parser


def _unknown(parser: Parser, group: Parser, word: str) -> str:
    names = {each.prog: each.prog.rpartition(" ")[2] for each in _below(parser)}
    # What is asked for may stand elsewhere in the tree, under exactly this name.
    near = [name for name in names if names[name] == word]
    near += [group.commands[each].prog for each in difflib.get_close_matches(word.lower(), group.commands, n=2)]
    hint = f"did you mean {' or '.join(f'`{each}`' for each in near)}? See" if near else "see"
    given = " ".join([*group.prog.split()[1:], word[:60]])
    return f"there is no command {given!r}; {hint}: {group.prog} --help"


def _below(parser: Parser) -> Iterator[Parser]:
    for each in parser.commands.values():
        yield each
        yield from _below(each)
