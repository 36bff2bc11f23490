"""Broken skills beside good ones, in one home with one worker: none harms another, and each is told what is wrong."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, NamedTuple

import pytest

from sagaflow_mcp import checking
from sagaflow_mcp.catalog import Root
from sagaflow_mcp.errors import Refusal
from sagaflow_mcp.testing import LocalSagaflow
from tests.integration.clients import in_process

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sagaflow_mcp.skill_lint import Finding

WORKFLOW = """\
from temporalio import workflow

@workflow.defn(name="{name}")
class Story:
    @workflow.run
    async def run(self, given: str) -> str:
        return f"{name} {{given}}"
"""

TOP = """\
from sagaflow.registry import SkillSpec
from .workflow import Story

def build_input(*, run_id, run_dir, inbox_path, cli_args):
    return cli_args.get("word", "")

def register(registry):
    registry.register(SkillSpec("{name}", Story, [], build_input))
"""

LOUD = "import sys\nprint('printed')\nprint('printed', file=sys.stderr)\n"

GOOD: dict[str, dict[str, str]] = {
    "plain": {},
    "shadowing": {
        "json.py": "NAME = 'shadowing'\n",
        "helpers.py": "NAME = 'shadowing'\n",
        "workflow.py": f"{LOUD}from . import helpers, json\nassert helpers.NAME == json.NAME\n{WORKFLOW}",
    },
    "namesake": {
        "json.py": "NAME = 'namesake'\n",
        "helpers.py": "NAME = 'other'\n",
        "workflow.py": f"import json as installed\nfrom .helpers import NAME\ninstalled.loads('[]')\n{WORKFLOW}",
    },
}
"""What each has other than the plain one; two have modules named alike, and as one of Python's."""


class Kind(NamedTuple):
    """A way to be broken."""

    files: Mapping[str, str | bytes]
    """What it has other than the plain skill."""
    file: str
    """The one to blame."""
    line: int
    reason: str
    level: str = "refused"
    """How it is told: `refused` at launch, or as a level of `skills check`."""


BROKEN = {
    "syntax-error": Kind({"workflow.py": "x = 1\ndef (\n"}, "workflow.py", 2, "syntax error"),
    "import-error": Kind({"workflow.py": "import no_such_package\n"}, "workflow.py", 1, "which is not installed"),
    "no-register": Kind({"__init__.py": "from .workflow import Story\n"}, "__init__.py", 1, "a register(registry)"),
    "wrong-signature": Kind(
        {"__init__.py": TOP.replace("inbox_path, cli_args", "inbox")}, "__init__.py", 4, "build_input cannot be called"
    ),
    "endless-import": Kind(
        {"workflow.py": "import threading\nwhile True:\n    threading.Event().wait(1)\n"},
        "workflow.py",
        3,
        "did not finish loading",
    ),
    "sys-exit": Kind({"workflow.py": "import sys\nsys.exit(0)\n"}, "workflow.py", 2, "must not call sys.exit()"),
    "unreadable-file": Kind({"notes.py": b"# one\n# tw\xff\n"}, "notes.py", 2, "is not utf-8 text"),
    "taken-name": Kind(
        {"workflow.py": WORKFLOW.replace("{name}", "unknown-variable")},
        "workflow.py",
        4,
        "as that of skill 'unknown-variable'",
        "warning",
    ),
    "unknown-variable": Kind(
        {
            "__init__.py": f"from sagaflow.prompts import load_prompt\n{TOP}".replace(
                'cli_args.get("word", "")', 'load_prompt(__file__, "greeter", {{"name": 1}})'
            ),
            "prompts/greeter.md": "Hello $name,\nhow is $freind?\n",
        },
        "prompts/greeter.md",
        2,
        "gives no value to $freind",
        "error",
    ),
    "clock": Kind(
        {"workflow.py": f"import time\n{WORKFLOW}".replace('{name} {{given}}"', '{name} {{time.time()}}"')},
        "workflow.py",
        8,
        "workflow code calls time.time(), which reads the clock",
        "error",
    ),
}


def write(folder: Path, name: str, files: Mapping[str, str | bytes]) -> Path:
    """The skill `name`: the plain one with `files` in place of its own."""
    for path, text in {"__init__.py": TOP, "workflow.py": WORKFLOW, **files}.items():
        target = folder / name / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(text, bytes):
            target.write_bytes(text)
        else:
            target.write_text(text.replace("{name}", name).replace("{{", "{").replace("}}", "}"), encoding="utf-8")
    return folder / name


@pytest.fixture(scope="module")
def skills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all of them."""
    folder = tmp_path_factory.mktemp("skills")
    for name, files in GOOD.items():
        write(folder, name, files)
    for name, kind in BROKEN.items():
        write(folder, name, kind.files)
    return folder


@pytest.fixture(scope="module")
def sagaflow(skills: Path) -> Iterator[LocalSagaflow]:
    """A Sagaflow that has them."""
    with LocalSagaflow(skills=[skills]) as local:
        yield local


def refused(local: LocalSagaflow, name: str) -> str:
    """The sentence that a launch of the skill is refused with."""
    with pytest.raises(Refusal) as error:
        local.launch(name)
    return str(error.value)


def found(local: LocalSagaflow, skills: Path, name: str) -> list[Finding]:
    """What `skills check` says of the skill."""
    (checked,) = checking.check(local.settings.home, [Root("path", skills)], name)
    return list(checked.findings)


def test_ten_broken_skills_are_told_and_three_good_ones_run(sagaflow: LocalSagaflow, skills: Path) -> None:
    """By the same worker from first to last."""
    run = sagaflow.wait(sagaflow.launch("plain", word="first"))
    assert run.result == "plain first"
    worker = sagaflow.pid("worker")
    sentences: dict[str, str] = {}
    # Beside the others: it is only refused once it has had its time.
    slow = threading.Thread(target=lambda: sentences.update({"endless-import": refused(sagaflow, "endless-import")}))
    slow.start()
    for name, kind in BROKEN.items():
        if kind.level == "refused" and name != "endless-import":
            sentences[name] = refused(sagaflow, name)
        elif kind.level != "refused":
            findings = found(sagaflow, skills, name)
            places = [(each.file, each.line, each.level) for each in findings]
            assert (str(skills / name / kind.file), kind.line, kind.level) in places, name
            assert kind.reason in " ".join(each.sentence for each in findings)
    for name in GOOD:
        assert found(sagaflow, skills, name) == []
        assert sagaflow.wait(sagaflow.launch(name, word="then")).result == f"{name} then"
    slow.join()
    for name, sentence in sentences.items():
        assert f"{skills / name / BROKEN[name].file}, line {BROKEN[name].line}" in sentence
        assert BROKEN[name].reason in sentence
    assert len(sentences) == 7
    assert sagaflow.wait(sagaflow.launch("taken-name", word="too")).result == "unknown-variable too"
    assert "time" in sagaflow.wait(sagaflow.launch("clock")).summary
    assert sagaflow.pid("worker") == worker


def test_the_command_exits_with_1_after_an_error_alone(sagaflow: LocalSagaflow) -> None:
    """A warning does not break somebody's build."""
    for name, status, said in (
        ("plain", 0, "plain: ok\n"),
        ("taken-name", 0, "taken-name: 1 warning\n"),
        ("clock", 1, "clock: 1 error\n"),
        ("unreadable-file", 1, "unreadable-file: 1 error\n"),
        ("sys-exit", 1, "sys-exit: 1 error\n"),
        ("nothing", 1, ""),
    ):
        done = in_process(sagaflow, "skills", "check", name)
        assert (done.returncode, done.stdout[: len(said)]) == (status, said), done
        assert len(done.stdout.splitlines()) == (0 if name == "nothing" else 1 if said.endswith("ok\n") else 2)


def test_what_was_found_out_is_listed(sagaflow: LocalSagaflow) -> None:
    """Where from, form, version, and why it is broken, also where that shows only when it is loaded."""
    refused(sagaflow, "sys-exit")
    shown = in_process(sagaflow, "skills", "list", "--json")
    assert shown.returncode == 0, shown
    listed = {each["name"]: each for each in json.loads(shown.stdout)}
    assert len(listed["plain"]["digest"]) == 64
    assert (listed["plain"]["root_kind"], listed["plain"]["form"]) == ("path", "workflow")
    assert (listed["plain"]["problem"], listed["plain"]["launchable"]) == (None, True)
    assert "must not call sys.exit()" in listed["sys-exit"]["problem"]
    assert not listed["sys-exit"]["launchable"]
    assert "line 2" in listed["unreadable-file"]["problem"]
