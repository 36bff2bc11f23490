"""Skills that are one function: real runs of every call of `ctx`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sagaflow_mcp import answering, artifacts, faces, launch, runs
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.testing import Error, Rule
from tests.waiting import eventually

if TYPE_CHECKING:
    from sagaflow_mcp.runs import Run
    from sagaflow_mcp.testing import LocalSagaflow

ITEMS = Rule(match=r"Item (\d+)", reply="got ${1}")
"""What the model answers to the prompts of a map."""


@pytest.fixture(autouse=True)
def _model(local: LocalSagaflow) -> None:
    local.model.add(ITEMS)


def do(local: LocalSagaflow, what: str, **arguments: Any) -> Run:
    """The run, once it has ended."""
    return local.wait(local.launch("one-function", what=what, **arguments))


def test_the_signature_is_the_schema(local: LocalSagaflow) -> None:
    """Types, defaults and the docstring; of the context's type only a type checker needs to know."""
    _, verdict = launch.inspect(local.settings, "one-function", faces.CLI)
    assert verdict.needs_model
    assert verdict.arguments is not None
    properties = verdict.arguments["properties"]
    assert verdict.arguments["required"] == ["what"]
    assert properties["count"] == {
        "default": 10,
        "description": "how many, or how long.",
        "title": "Count",
        "type": "integer",
    }
    assert properties["where"]["format"] == "path"


def test_help_shows_what_a_skill_takes(local: LocalSagaflow) -> None:
    """Beside the skill's name; nothing is launched."""
    command = [sys.executable, "-m", "sagaflow_mcp", "launch", "one-function", "--help"]
    shown = subprocess.run(
        command, env=local.environment(), stdout=subprocess.PIPE, encoding="utf-8", check=True, timeout=60
    ).stdout
    assert shown.splitlines()[1:] == [
        "usage: sagaflow launch one-function [--parameter VALUE ...] [--await] [--id ID]",
        "its agents read files, and use write_file, bash, without asking",
        "  --what TEXT      which of them. (required)",
        "  --count INTEGER  how many, or how long. (default: 10)",
        '  --wish JSON      (default: {"color": "red", "tags": []})',
        '  --where PATH     (default: "here")',
        "  --colors JSON    (default: null)",
        '  --name TEXT      (default: "out.txt")',
    ]


def test_arguments_have_their_types(local: LocalSagaflow) -> None:
    """Nested models, enums, lists and paths, from what JSON has."""
    run = do(local, "types", wish={"color": "blue", "tags": ["a"]}, where="/some/where", colors=["red", "blue"])
    assert run.result == [True, ["a"], "/some/where", ["RED", "BLUE"]]
    assert do(local, "types").result == [False, [], "here", []]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"what": "map", "count": "many"}, "argument 'count' of skill 'one-function' is 'many'"),
        ({"what": "map", "wish": {"color": "green"}}, "argument 'wish'"),
        ({}, "missing argument 'what' (string)"),
        ({"what": "map", "cuont": 1}, "did you mean 'count'?"),
    ],
)
def test_a_wrong_argument_is_refused(local: LocalSagaflow, given: dict[str, Any], words: str) -> None:
    """At launch, in a sentence."""
    with pytest.raises(Refusal) as refused:
        local.launch("one-function", **given)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("stop_reason", "said"),
    [
        ("max_tokens", "cut off at max_tokens"),
        ("model_context_window_exceeded", "longer than the model can hold"),
        ("refusal", "declined"),
    ],
)
def test_half_a_reply_is_never_taken_for_one(local: LocalSagaflow, stop_reason: str, said: str) -> None:
    """The run says why, and what the reply has cost."""
    half = Rule(reply="half", stop_reason=stop_reason, usage={"output_tokens": 7}, times=1)
    local.model.replace(half, ITEMS)
    run = do(local, "map", count=1)
    assert run.state == "FAILED"
    assert said in run.summary
    assert run.progress.output_tokens == 7


def test_a_map_keeps_the_order(local: LocalSagaflow) -> None:
    """And its progress is written down."""
    run = do(local, "map", count=30)
    assert run.result == [f"got {number}" for number in range(30)]
    noted = artifacts.read_json(Path(run.run_dir, artifacts.PROGRESS)) or {}
    assert (noted["phase"], noted["done"], noted["total"], noted["note"]) == ("asking", 30, 30, "all of them")


def test_steps_run_outside_the_workflow(local: LocalSagaflow) -> None:
    """With arguments and results of the author's types."""
    assert do(local, "steps", where="/a/b").result == [2, "b"]


def test_each_plain_step_has_a_thread_of_its_own(local: LocalSagaflow) -> None:
    """Those that wait hold up no other, however few cores the machine has."""
    assert do(local, "meet").result == 40


def test_what_fails_in_a_map_is_named_and_the_rest_kept(local: LocalSagaflow) -> None:
    """An author who does not look at it has a run that failed."""
    message, results, failures, succeeded = do(local, "failures", count=5).result
    assert message == "1 of 5 failed: 3 (3): not 3"
    assert results == [0, 2, 4, None, 8]
    assert failures == {"3": "not 3"}
    assert succeeded == [0, 2, 4, 8]
    assert do(local, "failures", count=3).result == "nothing failed"
    run = do(local, "failing")
    assert (run.state, run.summary) == ("FAILED", "1 of 2 failed: 1: not 3")


def test_a_reply_that_does_not_fit_is_asked_for_once_more(local: LocalSagaflow) -> None:
    """In the provider's structured output, or in words where it has none; then it is an error that says why."""
    model = local.model
    before = len(model.requests)
    oslo, wrong = json.dumps({"name": "Oslo", "people": 7}), json.dumps({"name": "Oslo", "people": "seven"})
    model.add(Rule(match="Item city", reply=wrong, times=1), Rule(match="Item city", reply=oslo, times=1))
    assert do(local, "output").result == ["City", "Oslo", 7]
    first, second = (each.body for each in model.requests[before:])
    assert first["output_config"]["format"]["schema"]["required"] == ["name", "people"]
    assert "people: Input should be a valid integer" in second["messages"][0]["content"]

    model.add(Rule(match="Item city", reply=wrong, times=2))
    run = do(local, "output")
    assert run.state == "FAILED"
    assert "the reply to 'one' does not fit City, also when asked again: people: Input should be" in run.summary

    unknown = Error(status=400, type="invalid_request_error", message="output_config: Extra inputs are not permitted")
    model.add(Rule(match="Item city", error=unknown, times=1), Rule(match="fits this schema", reply=oslo))
    assert do(local, "output").result == ["City", "Oslo", 7]
    assert "output_config" not in model.requests[-1].body


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("unknown_prompt", "there is no prompt 'nothing.user'"),
        ("unknown_prompt", "the prompts there are: 'one.user'"),
        ("field", "the model's reply has no field 'GREETING'; it has RESPONSE"),
        ("lambda", "it takes a function at the top of a module"),
        ("never", "retry is 0; it must be at least 1"),
        ("odd", "5 of 10 failed: 1 (1): 1 is odd; 3 (3): 3 is odd"),
        ("not_async", "1 of 1 failed: 0 (1): there is nothing to wait for in '1'; the function must be async"),
        ("unknown_type", "of_unknown_type is annotated with a type that is not there when it runs"),
        ("clock", "Cannot access datetime.datetime.now"),
    ],
)
def test_what_cannot_be_done_ends_the_run(local: LocalSagaflow, what: str, words: str) -> None:
    """With a sentence that says why."""
    run = do(local, what)
    assert run.state == "FAILED"
    assert words in run.summary


def test_a_file_stays_in_the_runs_folder(local: LocalSagaflow) -> None:
    """Other names are refused with a sentence."""
    run = do(local, "artifact", name="notes/one.txt")
    assert Path(str(run.result)).read_text(encoding="utf-8") == "content"
    outside = do(local, "artifact", name="../one.txt")
    assert outside.state == "FAILED"
    assert "lies outside the run's folder" in outside.summary
    reported = do(local, "report")
    assert Path(reported.report_path).read_text(encoding="utf-8") == "# All is well"


def test_a_reply_can_be_had_as_it_is(local: LocalSagaflow) -> None:
    """Whatever is in it."""
    assert do(local, "text").result == "got 7"


def test_time_and_chance_are_repeatable(local: LocalSagaflow) -> None:
    """And differ from call to call."""
    assert do(local, "repeatable").result == [True, True, 4]


def test_another_skill_is_a_child(local: LocalSagaflow) -> None:
    """Of the same run: one ending, files apart from its parent's, its questions answered as the run's own."""
    run = do(local, "child", name="report")
    assert run.result == str(next(Path(run.run_dir).resolve().glob("child-runs/one-function-*/report.md")))
    assert run.report_path == str(Path(run.run_dir, "report.md"))
    assert [entry.status for entry in local.inbox(run.run_id)] == ["DONE"]
    assert do(local, "child", name="map", count=3).result == ["got 0", "got 1", "got 2"]

    asking = local.launch("one-function", what="child", name="ask", count=3600)
    eventually(lambda: runs.get(local.settings.home, asking).questions, "the child asks")
    anyio.run(answering.answer, local.settings, asking, "no")
    assert local.wait(asking).result == "No"


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("missing_child", "there is no skill 'one-functoin'; did you mean 'one-function'?"),
        ("endless", "would be the 9th inside others; at most 8 may start each other"),
    ],
)
def test_a_child_that_cannot_be_ends_its_parent(local: LocalSagaflow, what: str, words: str) -> None:
    """With the reason."""
    run = do(local, what)
    assert run.state == "FAILED"
    assert words in run.summary
