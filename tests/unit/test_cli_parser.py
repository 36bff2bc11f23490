"""The grammar of the command."""

from __future__ import annotations

from typing import Any

import pytest

from sagaflow_mcp import cli_commands, cli_parser
from sagaflow_mcp.errors import UsageRefusal


def arguments(*words: str) -> dict[str, Any]:
    """The skill's arguments in a launch with these words."""
    found: dict[str, Any] = cli_parser.parse(["launch", "x", *words]).arguments
    return found


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], {}),
        (["--name", "alice"], {"name": "alice"}),
        (["--name=alice"], {"name": "alice"}),
        (["--name="], {"name": ""}),
        (["--name", ""], {"name": ""}),
        (["--name=--alice"], {"name": "--alice"}),
        (["--name", "-1"], {"name": "-1"}),
        (["--max-depth", "3"], {"max_depth": "3"}),
        (["--arg", "id=7", "--arg", "json=a=b"], {"id": "7", "json": "a=b"}),
        (["--args-json", '{"a": [1, null]}', "--b", "2"], {"a": [1, None], "b": "2"}),
        (["--awaiting", "yes"], {"awaiting": "yes"}),
    ],
)
def test_a_skills_arguments_are_options(words: list[str], found: dict[str, Any]) -> None:
    """In each way to give them."""
    assert arguments(*words) == found


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["alice"], "'alice' is not an option; a skill's parameter is given as --name value"),
        (["-n", "alice"], "'-n' is not an option"),
        (["--name"], "--name needs a value"),
        (["--name", "--other", "x"], "--name needs a value: --name VALUE, or --name=VALUE when it begins with --"),
        (["--arg", "name"], "--arg 'name' is not of the form name=value"),
        (["--arg", "=x"], "--arg '=x' is not of the form name=value"),
        (["--name", "a", "--arg", "name=b"], "argument 'name' is given twice"),
        (["--args-json", "{"], "--args-json is not JSON: "),
        (["--args-json", "[1]"], "--args-json is '[1]', but must be a JSON object"),
        (["--args-json", '{"x": NaN}'], "--args-json is not JSON: JSON has no NaN"),
        (["--args-json", '{"x": [-Infinity]}'], "--args-json is not JSON: JSON has no -Infinity"),
        (["--args-json", '{"x": ' + "[" * 100_000], "--args-json is nested too deeply"),
        (["--execution-timeout", "soon"], "invalid float value: 'soon'"),
    ],
)
def test_a_slip_in_the_arguments_is_a_sentence(words: list[str], sentence: str) -> None:
    """It names what was given."""
    with pytest.raises(UsageRefusal) as refused:
        arguments(*words)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lunch"], "there is no command 'lunch'; did you mean `sagaflow launch`? See: sagaflow --help"),
        (["RUNS"], "did you mean `sagaflow runs`?"),
        (["stop"], "did you mean `sagaflow engine stop`?"),
        (["list", "--json"], "did you mean `sagaflow skills list` or `sagaflow schedule list`?"),
        (["zzz"], "there is no command 'zzz'; see: sagaflow --help"),
        (["skills", "lst"], "there is no command 'skills lst'; did you mean `sagaflow skills list`?"),
        (["help", "lunch"], "did you mean `sagaflow launch`?"),
        (["help", "engine", "strat"], "there is no command 'engine strat'"),
        (["--json"], "required: COMMAND; see: sagaflow --help"),
        (["engine", "--json"], "required: COMMAND; see: sagaflow engine --help"),
        (["worker", "run", "--json"], "unknown argument '--json'; see: sagaflow worker run --help"),
        (["launch"], "required: SKILL; see: sagaflow launch --help"),
        (["inbox", "--al"], "unknown argument '--al'; see: sagaflow inbox --help"),
        (["inbox", "--limit", "0"], "'0' is not a whole number from 1 to 1,000,000,000"),
        (["engine", "logs", "--lines", "-1"], "'-1' is not a whole number from 1 to 1,000,000,000"),
        (["runs", "--limit", "²"], "'²' is not a whole number from 1 to 1,000,000,000"),
        (["runs", "--limit", "9" * 5000], "9' is not a whole number from 1 to 1,000,000,000"),
        (["engine", "logs", "--lines", "many"], "'many' is not a whole number from 1 to 1,000,000,000"),
    ],
)
def test_a_slip_in_a_command_says_where_to_look(words: list[str], sentence: str) -> None:
    """No option is taken for another that begins like it."""
    with pytest.raises(UsageRefusal) as refused:
        cli_parser.parse(words)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    "words",
    [
        ["--task", "Fix it.", "--id", "i", "--await", "--json"],
        ["--await", "--json", "--id=i", "--task=Fix it."],
    ],
)
def test_a_task_goes_without_a_skill(words: list[str]) -> None:
    """In any place among the options of a launch."""
    options = cli_parser.parse(["launch", *words])
    assert (options.skill, options.task, options.arguments) == (None, "Fix it.", {"task": "Fix it."})
    assert (options.run_id, options.wait, options.as_json) == ("i", True, True)


@pytest.mark.parametrize("words", [["x", "--task", "Fix it."], ["--await", "x", "--task=Fix it."]])
def test_after_a_skill_a_task_is_an_argument_of_its(words: list[str]) -> None:
    """As any other that the grammar does not know."""
    options = cli_parser.parse(["launch", *words])
    assert (options.skill, options.task, options.arguments) == ("x", None, {"task": "Fix it."})


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--task"], "argument --task: expected one argument"),
        (["--task", ""], "--task is blank; say what is to be done: --task TEXT"),
        (["--task", " \n"], "--task is blank; say what is to be done: --task TEXT"),
        (["--task", "a", "--task", "b"], "--task is given twice; put all that is to be done into one text"),
        (["x", "--task", "a", "--task", "b"], "argument 'task' is given twice"),
        (["x", "--task", "a", "--arg", "task=b"], "argument 'task' is given twice"),
        (
            ["--task", "a", "x"],
            "'x' stands after --task TEXT, which goes without a SKILL; put the whole task into quotes",
        ),
        (["--task", "fix", "the", "bug"], "'the' stands after --task TEXT"),
        (["--task", "fix", ""], "'' stands after --task TEXT"),
        (["--task", "a", "--name", "b"], "--name goes with a SKILL, and not with --task: write into TEXT all that is "),
        (["--task", "a", "--name=b"], "--name goes with a SKILL, and not with --task"),
        (["--task", "a", "--arg", "b=c"], "--arg goes with a SKILL, and not with --task"),
        (["--task", "a", "--args-json", "{}"], "--args-json goes with a SKILL, and not with --task"),
    ],
)
def test_a_slip_in_a_task_is_a_sentence(words: list[str], sentence: str) -> None:
    """Also where its words are not in quotes, or a skill stands beside it."""
    with pytest.raises(UsageRefusal) as refused:
        cli_parser.parse(["launch", *words])
    assert sentence in str(refused.value)


@pytest.mark.parametrize("command", ["inbox", "runs", "doctor", "engine status", "engine logs", "skills list", "demo"])
def test_each_command_has_its_function(command: str) -> None:
    """It is found by the command's name."""
    options = cli_parser.parse(command.split())
    assert callable(options.command)
    assert callable(getattr(cli_commands, command.replace(" ", "_")))


def test_what_is_not_given_has_its_default() -> None:
    """A launch waits for nothing, under an id of its own."""
    options = cli_parser.parse(["launch", "x"])
    assert (options.skill, options.run_id, options.wait, options.as_json) == ("x", None, False, False)
    assert options.execution_timeout is None
    options = cli_parser.parse(["launch", "x", "--id", "i", "--await", "--json", "--execution-timeout", "1.5"])
    assert (options.run_id, options.wait, options.as_json, options.execution_timeout) == ("i", True, True, 1.5)


@pytest.mark.parametrize(
    ("line", "as_json"),
    [
        ("config", False),
        ("config --json", True),
        ("config set a b", False),
        ("config --json set a b", True),
        ("config get --json a", True),
    ],
)
def test_json_is_asked_for_before_or_after_what_is_done_with_the_settings(line: str, as_json: bool) -> None:
    """Both places are an option's."""
    assert cli_parser.parse(line.split()).as_json is as_json


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        ([], "usage: sagaflow [-h]"),
        (["help"], "usage: sagaflow [-h]"),
        (["engine"], "usage: sagaflow engine [-h]"),
        (["help", "engine"], "usage: sagaflow engine [-h]"),
        (["help", "engine", "logs"], "usage: sagaflow engine logs [-h]"),
        (["help", "launch", "--name", "x"], "usage: sagaflow launch SKILL"),
        (["help", "help"], "usage: sagaflow help [-h]"),
        (["help", "--help"], "usage: sagaflow [-h]"),
    ],
)
def test_whoever_does_not_know_the_command_is_helped(
    words: list[str], usage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard output, with success: nothing is wrong."""
    with pytest.raises(SystemExit) as ended:
        cli_parser.parse(words)
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(usage)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["launch", "--help"], ["engine", "logs", "--help"]])
def test_help_and_version_are_printed_and_that_is_all(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """On standard output, with success."""
    with pytest.raises(SystemExit) as ended:
        cli_parser.parse(words)
    said = capsys.readouterr()
    assert ended.value.code == 0
    assert "sagaflow" in said.out
    assert said.err == ""


def test_the_help_says_where_the_result_is(capsys: pytest.CaptureFixture[str]) -> None:
    """It may have many lines."""
    with pytest.raises(SystemExit):
        cli_parser.parse(["launch", "--help"])
    assert "the result is the last thing on standard output" in " ".join(capsys.readouterr().out.split())
