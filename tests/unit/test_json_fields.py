"""The page on what `--json` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagaflow_mcp import cli, cli_parser, json_fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from sagaflow_mcp.cli_help import Parser

WITHOUT = {"demo", "watch", "skills trust", "worker run", "completion", "help"}
"""Commands that are there to be seen or sourced."""


def commands(parser: Parser) -> Iterator[Parser]:
    """Each command that does something."""
    for each in parser.commands.values():
        if not each.is_incomplete:
            yield each
        yield from commands(each)


def test_each_command_has_json_and_is_on_the_page_or_is_said_to_have_none() -> None:
    """A command that is added is documented with its fields."""
    found = {each.prog.partition(" ")[2]: "[--json]" in each.format_usage() for each in commands(cli_parser.grammar())}
    assert {name for name, has_json in found.items() if has_json} == set(json_fields.FIELDS)
    assert {name for name, has_json in found.items() if not has_json} == WITHOUT
    assert all(name in json_fields.HEAD for name in WITHOUT)


def test_the_page_is_shown_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Each command with all its fields."""
    assert cli.main(["help", "json"]) == 0
    shown = capsys.readouterr().out
    assert shown == json_fields.page() + "\n"
    for command, fields in json_fields.FIELDS.items():
        (part,) = [part for part in shown.split("\n\n") if part.startswith(f"sagaflow {command} --json\n")]
        assert [line.split()[0] for line in part.splitlines()[1:]] == list(fields)
