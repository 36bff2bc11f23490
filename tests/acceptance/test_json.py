"""What `--json` prints: the fields that the page on them tells, and nothing else."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sagaflow_mcp import json_fields, runs
from sagaflow_mcp.testing import LocalSagaflow, Rule
from tests import command_line
from tests.acceptance import tools
from tests.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SKILLS = tools.ROOT / "tests" / "integration" / "skills"

COMMANDS = [
    "launch hello-world --name alice --id one --await",
    "launch hello-world --name bob --id two",
    "launch --task=Greet --id three --await",
    "launch one-function --what ask --count 3600 --id asking",
    "show two",
    "show asking",
    "answer asking yes",
    "launch --task=Wait --id working",
    "tell working hello",
    "pause working",
    "resume working",
    "cancel working",
    "retry working",
    "show one",
    "runs --limit 1",
    "inbox",
    "skills list",
    "skills new hello-world --into shared",
    "skills check endings",
    f"skills test {Path(__file__).parent}/skills/wrong",
    "doctor",
    "config",
    "config set engine.idle_seconds 600",
    "config get engine.idle_seconds",
    "config unset engine.idle_seconds",
    "engine status",
    "engine logs",
    "worker status",
    "config",
    "config set engine.idle_seconds 900",
    "config get engine.idle_seconds",
    "config unset engine.idle_seconds",
    "hook status",
    "hook install --yes",
    "hook uninstall --yes",
    "schedule add nightly hello-world --cron @daily --name carol",
    "schedule list",
    "schedule pause nightly",
    "schedule resume nightly",
    "schedule show nightly",
    "schedule run-now nightly",
    "schedule remove nightly",
    "gc --dry-run",
    "service install",
    "service status",
    "service uninstall",
    "dismiss one",
    "engine stop",
]
"""Every command that has JSON, in an order in which each has something to say."""


@pytest.fixture(scope="module")
def sagaflow() -> Iterator[LocalSagaflow]:
    """A Sagaflow in which alice is greeted and bob is not yet."""
    with LocalSagaflow(skills=[SKILLS]) as local:
        reply = "STRUCTURED_OUTPUT_START\nGREETING|hello, ${1}\nSTRUCTURED_OUTPUT_END"
        local.model.add(
            Rule(match="Please greet bob|Wait$", hold="gate"), Rule(match=r"Please greet (\w+)", reply=reply)
        )
        yield local


def carried_out(local: LocalSagaflow, command: str) -> subprocess.CompletedProcess[str]:
    """What `sagaflow COMMAND --json` does."""
    # The system's services are none of a test's business: nothing is done to them.
    environ = {**local.environment(), "PATH": f"{without_effect(local)}:{tools.path()}"}
    return command_line.in_process(*command.split(), "--json", env=environ, cwd=local.folder)


def without_effect(local: LocalSagaflow) -> Path:
    """A folder with commands in the place of the system's own, which agree to everything."""
    folder = local.folder / "without-effect"
    folder.mkdir(exist_ok=True)
    for name in ("systemctl", "loginctl", "launchctl"):
        folder.joinpath(name).write_text("#!/bin/sh\n", encoding="utf-8")
        folder.joinpath(name).chmod(0o700)
    return folder


def places(value: Any, at: str = "") -> set[str]:
    """Where in `value` there is something, as jq writes it."""
    if isinstance(value, dict):
        return {place for name, inner in value.items() for place in places(inner, f"{at}.{name}")}
    if isinstance(value, list):
        return {place for inner in value for place in places(inner, f"{at}[]")} or {f"{at}[]"}
    return {at}


def unfolded(printed: set[str], told: Iterable[str]) -> set[str]:
    """`printed` with what is told of the members of each list that is empty."""
    empty = {place for place in printed if place.endswith("[]") and place not in told}
    within = {field for field in told if any(field.startswith(f"{place}.") for place in empty)}
    return printed - {place for place in empty if any(field.startswith(f"{place}.") for field in told)} | within


def test_a_run_that_ended_badly_is_printed_whole(sagaflow: LocalSagaflow) -> None:
    """And the sentence on how it ended is on standard error: on those of a process of its own, this once."""
    command = "launch hello-world --name bob --id late --execution-timeout 0.5 --await --json"
    done = subprocess.run(
        [str(tools.COMMANDS / "sagaflow"), *command.split()],
        env={**sagaflow.environment(), "PATH": tools.path()},
        cwd=sagaflow.folder,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    found = json.loads(done.stdout)
    assert done.returncode == 1
    assert found["state"] == "TIMED_OUT"
    assert places(found) == set(json_fields.FIELDS["launch"])
    assert done.stderr.startswith("sagaflow: late TIMED_OUT: ")


def test_the_page_tells_what_is_printed(sagaflow: LocalSagaflow) -> None:
    """Each command prints one value with exactly those fields."""
    told = set()
    for command in COMMANDS:
        if command == "show asking":
            eventually(lambda: runs.get(sagaflow.settings.home, "asking").questions, "the run asks")
        done = carried_out(sagaflow, command)
        assert done.stderr == "", command
        name = max((each for each in json_fields.FIELDS if f"{command} ".startswith(f"{each} ")), key=len)
        printed = places(json.loads(done.stdout))
        assert unfolded(printed, json_fields.FIELDS[name]) == set(json_fields.FIELDS[name]), command
        told.add(name)
    assert told == json_fields.FIELDS.keys()


@pytest.mark.parametrize("command", ["engine status", "worker status"])
def test_what_does_not_run_is_null(sagaflow: LocalSagaflow, command: str) -> None:
    """With exit code 1."""
    assert carried_out(sagaflow, "engine stop").returncode == 0
    done = carried_out(sagaflow, command)
    assert (done.returncode, json.loads(done.stdout), done.stderr) == (1, None, "")


@pytest.mark.parametrize(
    ("command", "status", "out"),
    [
        ("launch nothing", 1, None),
        ("launch hello-world --nme x", 1, None),
        ("launch", 2, None),
        ("launch --task=", 2, None),
        ("launch hello-world --task x", 2, None),
        ("show nothing", 1, None),
        ("runs --status ready", 2, None),
        ("inbox --limit 0", 2, None),
        ("dismiss", 2, None),
        ("dismiss nothing", 1, {"dismissed": [], "not_found": ["nothing"]}),
        ("hook install", 1, None),
        ("demo", 2, None),
        ("lunch", 2, None),
    ],
)
def test_a_refusal_is_the_same_sentence_with_json(
    sagaflow: LocalSagaflow, command: str, status: int, out: object
) -> None:
    """On standard error; standard output has nothing, or the whole value."""
    done = carried_out(sagaflow, command)
    assert done.returncode == status
    assert done.stderr.startswith("sagaflow: ")
    assert len(done.stderr.splitlines()) == 1
    assert (json.loads(done.stdout) if done.stdout else None) == out
