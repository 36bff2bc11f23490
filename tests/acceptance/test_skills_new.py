"""`sagaflow skills new`: what it makes works at once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sagaflow_mcp.testing import LocalSagaflow, Rule
from tests.acceptance import tools

OF_CODE = 'ok    snow: DONE, "What snow is, in a sentence."'
OF_AGENT = 'ok    nothing: DONE, "No file says anything about snow."'


@pytest.mark.parametrize(
    ("form", "name", "passed"),
    [
        pytest.param(1, "3-files", OF_AGENT, marks=pytest.mark.long),
        (2, "2-topics", OF_CODE),
        pytest.param(3, "a-topic", OF_CODE, marks=pytest.mark.long),
    ],
)
def test_a_new_skill_is_right_survives_crashes_and_runs(form: int, name: str, passed: str) -> None:
    """With no edit, by the commands that it is told with; also under a name that is none in Python.

    But for the test without crashes: that is where the one with crashes begins, and the guide's skill is tried by it.
    """
    with LocalSagaflow() as local:
        environment = {**local.environment(), "PATH": tools.path()}

        def said(command: str) -> list[str]:
            """What the command prints."""
            return tools.run(command, env=environment, cwd=local.folder, seconds=120).stdout.splitlines()

        made = json.loads("\n".join(said(f"sagaflow skills new {name} --form {form} --json")))
        ruff = Path(sys.executable).with_name("ruff")
        # Its folder's name, which is not Python's concern, would do for N999.
        said(f"{ruff} check --isolated --extend-ignore N999 {made['path']}")
        said(f"{ruff} format --isolated --check {made['path']}")
        assert said(f"sagaflow skills check {name}") == [f"{name}: ok"]
        test, crash_test, launch = made["next"]
        assert crash_test == test.replace("skills test", "skills test --crash")
        (line,) = said(crash_test)
        assert line.startswith(f"{passed}, also with the worker killed at ")
        reply = "STRUCTURED_OUTPUT_START\nSENTENCE|${1} falls\nSTRUCTURED_OUTPUT_END"
        local.model.add(Rule(match=r"Explain this topic: (\w+)", reply=reply), Rule(reply="rain falls"))
        assert said(launch)[-1] == "rain falls"
