"""What is told of a skill from its source alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp.skill_lint import Skill, lint

if TYPE_CHECKING:
    from sagaflow_mcp.skill_lint import Finding

ROOT = Path(__file__).parents[2]

WORKFLOW = """\
import asyncio, datetime, os, random, secrets, time, uuid
from dataclasses import dataclass, field
from datetime import datetime as moment, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from temporalio import activity, workflow
from temporalio.workflow import unsafe
from skills.two_words import helpers
with workflow.unsafe.imports_passed_through():
    from skills.two_words import shared
    import requests
if TYPE_CHECKING:
    import subprocess
seen, COUNTS = [], {}

@activity.defn
async def fetch(path: str) -> str:
    return Path(path).read_text() + str(time.time())

def in_a_step():
    return requests.get("http://x")

def unused():
    return time.time()

@workflow.defn
class Story:
    count = 0

    def __init__(self) -> None:
        self.told: list[str] = []

    @workflow.run
    async def run(self, given: str, path: Path) -> str:
        LINE
"""

FUNCTION = """\
import random, time
from sagaflow import skill

def note(path, text):
    with open(path, "a") as file:
        file.write(text + str(time.time()))

@skill("two-words")
async def two_words(ctx, name: str = "world") -> str:
    LINE
"""

HELPERS = """\
import itertools, time, uuid
STARTED = time.time()
TABLE = {"late": lambda: time.time()}
NUMBERS = itertools.count()
def stamp():
    return uuid.uuid4()
def pure(value):
    return value
"""

SHARED = """\
known = {}
def remember(key):
    known[key] = 1
"""


def findings(folder: Path, line: str, text: str = WORKFLOW, **files: str) -> list[Finding]:
    """What is found in a skill whose run does `line`."""
    indent = text[: text.index("LINE")].rpartition("\n")[2]
    given = {
        "__init__.py": "",
        "workflow.py": text.replace("LINE", line.replace("\n", f"\n{indent}")),
        "helpers.py": HELPERS,
        "shared.py": SHARED,
        **files,
    }
    for name, content in given.items():
        path = folder / "two-words" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return lint(Skill.read("two-words", folder / "two-words"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("time.time()", "calls time.time(), which reads the clock and differs on a replay: use workflow.now()"),
        ("time.sleep(3)", "blocks the worker"),
        ("datetime.datetime.now()", "datetime.datetime.now(), which reads the clock"),
        ("moment.now()", "reads the clock"),
        ("later = moment.utcnow() + timedelta(1)", "reads the clock"),
        ("random.choice([1])", "draws at random"),
        ("random.Random()", "draws at random"),
        ("uuid.uuid4()", "workflow.uuid4()"),
        ("secrets.token_hex()", "draws at random"),
        ("os.environ['HOME']", "looks at os.environ, which depends on where it runs"),
        ("os.environ.get('HOME')", "looks at os.environ"),
        ("os.getenv('HOME')", "depends on where it runs"),
        ("open('x').read()", "calls open(), which uses files"),
        ("Path('x').write_text('')", "pathlib.Path.write_text()"),
        ("(Path(given) / 'x').parent.joinpath('y').read_text()", "pathlib.Path.read_text()"),
        ("path.exists()", "pathlib.Path.exists()"),
        ("other = path / 'x'\nother.unlink()", "pathlib.Path.unlink()"),
        ("requests.get('http://x')", "uses the network"),
        ("import socket\nsocket.create_connection(('x', 1))", "uses the network"),
        ("import subprocess\nsubprocess.run(['x'])", "starts a process"),
        ("await asyncio.create_subprocess_exec('x')", "starts a process"),
        ("await asyncio.to_thread(print)", "leaves the workflow's thread"),
        ("input()", "waits for a terminal"),
        ("helpers.stamp()", "calls uuid.uuid4()"),
        ("sorted([1], key=helpers.stamp)", "calls uuid.uuid4()"),
        ("helpers.TABLE['late']()", "reads the clock"),
        ("in_a_step()", "uses the network"),
        ("(lambda: time.time())()", "reads the clock"),
        ("def inner():\n    return time.time()\ninner()", "reads the clock"),
        ("@dataclass\nclass D:\n    at: float = field(default_factory=time.time)", "workflow code calls time.time()"),
    ],
)
def test_what_workflow_code_must_not_do_is_found_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    """Also in what it calls, whichever way it is written."""
    (found,) = findings(tmp_path, line)
    assert found.level == "error"
    assert said in found.sentence
    source = Path(found.file)
    assert source.parent == tmp_path / "two-words"
    assert found.line
    assert source.read_text(encoding="utf-8").splitlines()[found.line - 1].strip()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("with unsafe.sandbox_unrestricted():\n    time.time()", "workflow code calls time.time()"),
        (
            "helpers.STARTED",
            "the import of this module calls time.time(), which reads the clock: use workflow.now() in the run",
        ),
        ("seen.append(1)", "workflow code changes seen at the top of a module"),
        ("COUNTS[given] = 1", "workflow code changes COUNTS"),
        ("COUNTS[given]['x'].extend([1])", "workflow code changes COUNTS"),
        ("del COUNTS[given]", "workflow code changes COUNTS"),
        ("COUNTS['a']['b'] = 1", "workflow code changes COUNTS"),
        ("global COUNTS\nCOUNTS = {}", "workflow code changes COUNTS"),
        ("next(helpers.NUMBERS)", "workflow code changes helpers.NUMBERS"),
        ("Story.count += 1", "workflow code changes Story"),
        ("await asyncio.wait([])", "use workflow.wait()"),
    ],
)
def test_what_may_go_wrong_is_a_warning(tmp_path: Path, line: str, said: str) -> None:
    """Such as state that nothing records."""
    (found,) = findings(tmp_path, line)
    assert found.level == "warning"
    assert said in found.sentence


def test_state_that_runs_share_is_an_error(tmp_path: Path) -> None:
    """Wherever it is changed."""
    where = [
        (Path(each.file).name, each.level) for each in findings(tmp_path, "shared.remember(1)\nshared.known.clear()")
    ]
    assert where == [("shared.py", "error"), ("workflow.py", "error")]


@pytest.mark.parametrize(
    "line",
    [
        "workflow.now(); workflow.time()",
        "workflow.random().choice([1]); workflow.uuid4()",
        "random = workflow.random()\nrandom.random()",
        "time = workflow\ntime.time()",
        "await asyncio.sleep(3)",
        "await workflow.execute_activity(fetch, 'x', start_to_close_timeout=timedelta(1))",
        "await workflow.execute_local_activity(in_a_step)",
        "random.Random(4).random()",
        "uuid.uuid5(uuid.NAMESPACE_DNS, 'x')",
        "(Path(given) / 'x').with_suffix('.md').name",
        "timedelta(seconds=1) + moment(2030, 1, 1)",
        "self.told.append('x')",
        "seen = []\nseen.append(1)",
        "helpers.pure(1)",
        "later: 'moment | None' = None",
        "try:\n    pass\nexcept requests.HTTPError:\n    pass",
        "workflow.logger.info('x'); print('y')",
    ],
)
def test_what_is_right_is_not_blamed(tmp_path: Path, line: str) -> None:
    """A check that cries wolf is not looked at."""
    assert findings(tmp_path, line) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ctx.now(); ctx.random(); ctx.uuid()", None),
        ("await ctx.step(note, 'x', 'y')", None),
        ("import functools\nawait ctx.parallel([functools.partial(ctx.step, note)])", None),
        ("def inner():\n    return time.time()\nawait ctx.step(inner)", None),
        ("await ctx.step(lambda: time.time())", None),
        ("note('x', 'y')", "calls open(), which uses files or the system"),
        ("await ctx.map(lambda each: note(each, 'y'), [1])", "calls open()"),
        ("time.time()", "use ctx.now()"),
        ("time.sleep(1)", "await ctx.sleep()"),
        ("input()", "use ctx.ask()"),
        ("random.random()", "use ctx.random() or ctx.uuid()"),
    ],
)
def test_a_skill_of_one_function_is_told_of_ctx(tmp_path: Path, line: str, said: str | None) -> None:
    """What it gives to `ctx.step` is a step, and may do anything."""
    found = findings(tmp_path, line, FUNCTION, **{"shared.py": "", "helpers.py": ""})
    assert (said in found[0].sentence) if said else (found == [])


@pytest.mark.parametrize(
    ("line", "is_found"),
    [
        ("importlib.import_module('skills.two_words.facts')", True),
        ("importlib.import_module(f'skills.two_words.{name}')", True),
        ("importlib.import_module('skills.' + name)", True),
        ("__import__('sagaflow.prompts')", True),
        ("importlib.resources.files('skills.two_words')", True),
        ("importlib.import_module('.facts', __package__)", False),
        ("importlib.import_module('sagaflow_mcp.prompts')", False),
        ("importlib.import_module(name)", False),
        ("importlib.import_module('skillset')", False),
    ],
)
def test_a_name_that_the_loader_cannot_rewrite_is_found(tmp_path: Path, line: str, *, is_found: bool) -> None:
    """Also outside of workflow code: it would fail in a step as well."""
    found = findings(
        tmp_path, "pass", **{"shared.py": f"import importlib, importlib.resources\ndef load(name):\n    {line}\n"}
    )
    assert [(Path(each.file).name, each.line, each.level) for each in found] == [("shared.py", 3, "error")] * is_found


LOAD = "from sagaflow.prompts import load_prompt\ndef build_input():\n    return load_prompt(__file__, {})\n"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("'greeter', substitutions={'name': 1}", None),
        ("'greeter', {'name': 1, **more}", None),
        ("'greeter', dict(name=1)", None),
        ("'greeter', values", None),
        ("which, {}", None),
        ("'greeter', {'nmae': 1}", "gives no value to $name: give it one, or write $$ for a plain dollar sign"),
        ("'greeter', {'name': 1, 'age': 2}", "gives 'age' a value, but no $age is in the prompt"),
        ("'greeter'", "leaves $name: give it one, or write $$"),
        ("'greter'", "write it, or name one that there is: 'greeter'"),
    ],
)
def test_prompts_are_held_against_what_loads_them(tmp_path: Path, call: str, said: str | None) -> None:
    """Each variable has a value and each value a place."""
    files = {"shared.py": LOAD.format(call), "prompts/greeter.md": "Costs $5 or $$5.\nHello ${name}\n"}
    found = findings(tmp_path, "pass", **files)
    assert any(said in each.sentence for each in found) if said else found == []
    places = {(Path(each.file).name, each.line) for each in found}
    assert places <= {("greeter.md", 2), ("shared.py", 3)}


def test_the_prompts_of_a_function_are_held_against_ctx_prompt(tmp_path: Path) -> None:
    """The system prompt need not be there, and both share the values."""
    prompts = {"prompts/greeter.user.md": "Greet $name\n", "prompts/greeter.system.md": "Be $mood\n"}
    empty = {"shared.py": "", "helpers.py": ""}
    good = "await ctx.prompt('greeter', tier='OPUS', name=name, mood='kind')"
    assert findings(tmp_path, good, FUNCTION, **empty, **prompts) == []
    bad = "await ctx.prompt('greeter', name=name)\nawait ctx.prompt('greter', **{})"
    system, missing = findings(tmp_path, bad, FUNCTION, **empty, **prompts)
    assert (Path(system.file).name, system.line, system.level) == ("greeter.system.md", 1, "error")
    assert "ctx.prompt('greeter') in workflow.py, line 10, gives no value to $mood" in system.sentence
    assert (Path(missing.file).name, missing.line) == ("workflow.py", 11)
    assert "greter.user.md" in missing.sentence


def test_a_prompt_that_is_not_text_is_found(tmp_path: Path) -> None:
    """By the line that it ends to be text in; and a folder in place of a file."""
    folder = tmp_path / "two-words" / "prompts"
    folder.joinpath("b.md").mkdir(parents=True)
    folder.joinpath("a.md").write_bytes(b"one\ntw\xff\n")
    first, second = findings(tmp_path, "pass")
    assert (Path(first.file).name, first.line, first.level) == ("a.md", 2, "error")
    assert (Path(second.file).name, second.line) == ("b.md", None)
    assert second.sentence == "the prompt cannot be read: Is a directory"


@pytest.mark.parametrize("folder", [ROOT / "skills" / "hello-world", ROOT / "sagaflow_mcp" / "demo_skill" / "story"])
def test_our_own_skills_are_in_order(folder: Path) -> None:
    """They are what authors begin with."""
    assert lint(Skill.read(folder.name, folder)) == []
