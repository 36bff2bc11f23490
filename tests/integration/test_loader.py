"""Pinned skills in a real process, a real sandbox and a real Temporal server."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from sagaflow_mcp import catalog, contract, loader, pinning, records, skill_check
from sagaflow_mcp.durable import interceptors
from sagaflow_mcp.errors import Refusal
from tests import waiting
from tests.integration.author import SKILL, Author
from tests.integration.own_temporal import DevServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.pinning import Pinned


@pytest.fixture
def anyio_backend() -> str:
    """Temporal's client needs asyncio."""
    return "asyncio"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[WorkflowEnvironment]:
    """A Temporal server of the test's own. Not the SDK's, which gives it up where it takes over 5 s to start."""
    with DevServer(tmp_path) as dev:
        yield WorkflowEnvironment.from_client(await Client.connect(dev.address))


@pytest.fixture
def loaded() -> Iterator[list[Pinned]]:
    """Versions to drop when the test is over."""
    versions: list[Pinned] = []
    yield versions
    for each in versions:
        loader.drop(each)


@pytest.fixture
def author(tmp_path: Path, home: Home) -> Author:
    """The author, the skill written."""
    return Author(tmp_path, home)


def build(pinned: Pinned, **arguments: Any) -> object:
    """The input that the version builds."""
    spec = loader.load(pinned)
    return contract.build(spec, run_id="r", run_dir="/r", inbox_path="/i", arguments=arguments)


@pytest.mark.anyio
async def test_two_versions_run_side_by_side_each_with_its_own_code_and_prompts(
    author: Author, loaded: list[Pinned], server: WorkflowEnvironment
) -> None:
    """Also when one is edited while a run of the other is waiting, and although every task replays the run."""
    one = author.pin()
    author.edit(**{"facts.py": "VERSION = 'two'\n", "prompts/greeting.md": "Good day $name,\n"})
    two = author.pin()
    loaded += [one, two]
    async with worker(server, one), worker(server, two):
        runs = [
            await server.client.start_workflow(
                "Reader", f"run-{number}", id=f"{pinned.digest}-{number}", task_queue=pinned.digest
            )
            for number in range(3)
            for pinned in (one, two)
        ]
        author.edit(**{"facts.py": "VERSION = 'three'\n", "prompts/greeting.md": "Bye $name,\n"})
        for run in runs:
            await run.signal("tell", "ok")
        async with asyncio.timeout(30):
            results = [await run.result() for run in runs]
    expected = [
        words
        for number in range(3)
        for words in (f"Hello run-{number}, one one ok 1", f"Good day run-{number}, two two ok 1")
    ]
    assert results == expected


def worker(server: WorkflowEnvironment, pinned: Pinned) -> Worker:
    """A worker for one version that keeps no run in memory between tasks."""
    spec = loader.load(pinned)
    return Worker(
        server.client,
        task_queue=pinned.digest,
        workflows=loader.workflows(spec),
        workflow_runner=loader.workflow_runner(),
        workflow_failure_exception_types=[Exception],
        max_cached_workflows=0,
    )


@pytest.mark.parametrize(
    "statement",
    [
        "from skills.two_words.facts import VERSION as found",
        "from skills.two_words import facts; found = facts.VERSION",
        "import skills.two_words.facts; found = skills.two_words.facts.VERSION",
        "import skills.two_words.facts as other; found = other.VERSION",
        "from skills import two_words; from skills.two_words import facts; found = two_words.facts.VERSION",
        "import skills; import skills.two_words.facts; found = skills.two_words.facts.VERSION",
        "from . import facts; found = facts.VERSION",
        "from .facts import VERSION as found",
        "from .facts import *; found = VERSION",
        "from .deep.down import found",
        "import sagaflow; from .facts import VERSION; found = VERSION if sagaflow.__version__ else ''",
        "import sagaflow.registry; from .facts import VERSION as found; sagaflow.registry.SkillSpec",
        "import sagaflow.registry as r; from .facts import VERSION as found; r.SkillSpec",
    ],
)
@pytest.mark.parametrize("inside_function", [False, True])
def test_every_way_to_import_finds_the_versions_own_modules(
    author: Author, loaded: list[Pinned], statement: str, inside_function: bool
) -> None:
    """With two versions of it in the process."""
    if "*" in statement and inside_function:
        statement = statement.replace("from .facts import *", "from .facts import VERSION")
    body = (
        f"def find():\n    {statement}\n    return found\n"
        if inside_function
        else f"{statement}\nfind = lambda: found\n"
    )
    extra = "from .probe import find\ndef build_input(*, run_id, run_dir, inbox_path, cli_args): return find()\n"
    top = SKILL["__init__.py"].replace("def build_input", f"{extra}\ndef unused")
    deep = {"deep/down.py": "from ..facts import VERSION as found\n"}
    author.edit(**{"__init__.py": top, "probe.py": body}, **deep)
    one = author.pin()
    author.edit(**{"facts.py": "VERSION = 'two'\n"})
    two = author.pin()
    loaded += [one, two]
    assert [build(one), build(two), build(one)] == ["one", "two", "one"]
    assert not {"skills", "sagaflow", "facts", "two_words"} & set(sys.modules)


def test_a_dropped_version_leaves_no_module_and_no_bytecode_behind(author: Author) -> None:
    """Neither in the process nor in the home."""
    pinned = author.pin()
    loader.load(pinned)
    loader.drop(pinned)
    assert not [name for name in sys.modules if pinned.digest[:12] in name]
    assert not [*pinned.folder.rglob("__pycache__"), *author.folder.rglob("__pycache__")]


def test_a_bytecode_cache_in_the_skill_is_not_used(author: Author, loaded: list[Pinned]) -> None:
    """A stale one would win over the source."""
    cache = author.folder / "__pycache__"
    cache.mkdir()
    (cache / f"facts.{sys.implementation.cache_tag}.pyc").write_bytes(b"not bytecode")
    loaded.append(author.pin())
    assert loader.load(loaded[0]).name == "two-words"


def test_the_bundled_skill_loads_and_builds_its_input(home: Home, loaded: list[Pinned]) -> None:
    """With its argument and its default."""
    source = catalog.find("hello-world", catalog.roots({"HOME": "/nowhere"}))
    loaded.append(pinning.pin(home, source))
    assert "greet alice." in str(build(loaded[0], name="alice"))
    assert "greet world." in str(build(loaded[0]))
    loader.rehearse(loader.load(loaded[0]))


SECOND = """
@workflow.defn(name="{name}")
class Second:
    @workflow.run
    async def run(self) -> None: ...
"""

DYNAMIC = """
from collections.abc import Sequence
from temporalio.common import RawValue

@workflow.defn(dynamic=True)
class {name}:
    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> None: ...
"""


def activities(*names: str) -> str:
    """An `__init__.py` with own activities of these names, `dynamic` for one without."""
    functions = ""
    for number, name in enumerate(names):
        how, takes = ("dynamic=True", "args: Sequence[RawValue]") if name == "dynamic" else (f"name={name!r}", "")
        functions += f"@activity.defn({how})\nasync def own_{number}({takes}) -> None: ...\n\n"
    imports = (
        "from collections.abc import Sequence\nfrom temporalio import activity\n"
        "from temporalio.common import RawValue\n"
    )
    own = ", ".join(f"own_{number}" for number in range(len(names)))
    return imports + functions + SKILL["__init__.py"].replace("[write_artifact]", f"[{own}]")


PATH = "sys.path.insert(0, os.path.dirname(__file__))"

BROKEN = {
    "a syntax error": (
        {"workflow.py": "x = 1\ndef (\n"},
        "skill 'two-words' has a syntax error in {folder}/workflow.py, line 2: invalid syntax",
    ),
    "a name of ours that is missing": (
        {"workflow.py": "\nfrom sagaflow.durable.activities import (\n    run_shell,\n)\n"},
        (
            "skill 'two-words' ({folder}/workflow.py, line 2) imports 'run_shell' from sagaflow.durable.activities, "
            "which this version of Sagaflow does not have"
        ),
    ),
    "a module of ours that is missing": (
        {"workflow.py": "import sagaflow.tools\n"},
        (
            "skill 'two-words' ({folder}/workflow.py, line 1) imports 'sagaflow.tools', "
            "which this version of Sagaflow does not have"
        ),
    ),
    "a module of its own that is missing": (
        {"workflow.py": "from .helpers import x\n"},
        "skill 'two-words' ({folder}/workflow.py, line 1) imports 'skills.two_words.helpers', which it does not have",
    ),
    "a module of another skill": (
        {"workflow.py": "from skills.other import x\n"},
        "skill 'two-words' ({folder}/workflow.py, line 1) imports 'skills",
    ),
    "a package that is not installed": (
        {"workflow.py": "import no_such_package\n"},
        (
            "skill 'two-words' ({folder}/workflow.py, line 1) imports 'no_such_package', which is not installed; "
            "Sagaflow runs skills with {python}"
        ),
    ),
    "an exception": (
        {"workflow.py": "\n\n1 / 0\n"},
        "skill 'two-words' ({folder}/workflow.py, line 3) failed while it was loaded: ZeroDivisionError: division",
    ),
    "an exception of five megabytes": (
        {"workflow.py": "raise ValueError('\\x1b[31m</x>' + 'very ' * 1_000_000)\n"},
        "({folder}/workflow.py, line 1) failed while it was loaded: ValueError: \u2039/x\u203avery very",
    ),
    "an import error of five megabytes": (
        {"workflow.py": "raise ImportError('no', name='very ' * 1_000_000)\n"},
        "skill 'two-words' ({folder}/workflow.py, line 1) cannot import 'very very",
    ),
    "a field of five megabytes": (
        {"__init__.py": SKILL["__init__.py"].replace("Reader, [write_artifact]", "Reader, 'very ' * 1_000_000")},
        "SkillSpec activities is 'very very",
    ),
    "sys.exit": (
        {"workflow.py": "import sys\nsys.exit(0)\n"},
        "skill 'two-words' ({folder}/workflow.py, line 2) ends the program while it is loaded",
    ),
    "KeyboardInterrupt": (
        {"workflow.py": "raise KeyboardInterrupt\n"},
        "({folder}/workflow.py, line 1) raises KeyboardInterrupt while it is loaded",
    ),
    "its own module as if it were installed": (
        {"workflow.py": "\nimport facts\n"},
        "({folder}/workflow.py, line 2) imports 'facts' as if it were installed, but it is the skill's own",
    ),
    "its own module by way of sys.path": (
        {"workflow.py": f"import os, sys\n{PATH}\nimport facts\nsys.path.pop(0)\n{SKILL['workflow.py']}"},
        "({folder}/workflow.py, line 3) cannot be loaded: it imports its own module 'facts' by way of sys.path",
    ),
    "its folder on sys.path": (
        {"workflow.py": f"import os, sys\n{PATH}\n{SKILL['workflow.py']}"},
        "({folder}/workflow.py, line 2) cannot be loaded: it puts its own folder on sys.path",
    ),
    "another module in the place of one": (
        {"workflow.py": f"import os, sys\nsys.modules['json'] = os\n{SKILL['workflow.py']}"},
        "({folder}/workflow.py, line 2) cannot be loaded: it replaces the module 'json' in sys.modules",
    ),
    "arguments without a schema": (
        {
            "__init__.py": "from pydantic import BaseModel\nclass Thing: ...\n"
            "class Arguments(BaseModel, arbitrary_types_allowed=True):\n    thing: Thing\n"
            + SKILL["__init__.py"].replace("build_input))", "build_input, Arguments))")
        },
        "({folder}/__init__.py, line 3) cannot be loaded: the arguments of skill 'two-words' have no JSON schema",
    ),
    "no register": (
        {"__init__.py": ""},
        (
            "({folder}/__init__.py, line 1) cannot be loaded: it has neither a register(registry) in its __init__.py "
            "nor a function with @skill"
        ),
    ),
    "nothing registered": (
        {"__init__.py": "def register(registry): pass\n"},
        (
            "skill 'two-words' ({folder}/__init__.py, line 1) cannot be loaded: its register(registry) registered "
            "0 skills; it must register exactly one"
        ),
    ),
    "a register that raises": (
        {"__init__.py": "def register(registry):\n    raise KeyError('x')\n"},
        "skill 'two-words' ({folder}/__init__.py, line 2) failed while it was loaded: KeyError: 'x'",
    ),
    "another name": (
        {"__init__.py": SKILL["__init__.py"].replace('"two-words"', '"one-word"')},
        (
            "({folder}/__init__.py, line 9) cannot be loaded: "
            "it registers itself as 'one-word', but its folder is called 'two-words'; the two must be the same"
        ),
    ),
    "no @workflow.defn": (
        {"__init__.py": SKILL["__init__.py"].replace("Reader, [", "object, [")},
        "its workflow class object has no @workflow.defn",
    ),
    "no @activity.defn": (
        {"__init__.py": SKILL["__init__.py"].replace("[write_artifact]", "[print]")},
        "its activity 'print' has no @activity.defn",
    ),
    "an activity named as one of Sagaflow's": (
        {"__init__.py": activities("write_artifact")},
        "its activity 'write_artifact' has the name of one of Sagaflow's own; give it another",
    ),
    "an activity named as one that it does not use": (
        {"__init__.py": activities("sagaflow_build_input")},
        "its activity 'sagaflow_build_input' has the name of one of Sagaflow's own; give it another",
    ),
    "two activities of one name": (
        {"__init__.py": activities("fetch", "fetch")},
        "two of its activities are named 'fetch'; give one of them another: @activity.defn(name=…)",
    ),
    "one activity twice": (
        {"__init__.py": SKILL["__init__.py"].replace("[write_artifact]", "[write_artifact, write_artifact]")},
        "two of its activities are named 'write_artifact'",
    ),
    "two dynamic activities": (
        {"__init__.py": activities("dynamic", "dynamic")},
        "two of its activities are dynamic; it can have one",
    ),
    "two workflows of one name": (
        {"workflow.py": SKILL["workflow.py"] + SECOND.format(name="Reader")},
        (
            "({folder}/workflow.py, line 28) cannot be loaded: "
            "two of its workflow classes, Reader and Second, are named 'Reader'; give one of them another"
        ),
    ),
    "two dynamic workflows": (
        {"workflow.py": SKILL["workflow.py"] + DYNAMIC.format(name="One") + DYNAMIC.format(name="Two")},
        "two of its workflow classes, One and Two, are dynamic; it can have one",
    ),
    "a build_input that takes other parameters": (
        {"__init__.py": SKILL["__init__.py"].replace("inbox_path, cli_args", "inbox")},
        (
            "({folder}/__init__.py, line 6) cannot be loaded: "
            "its build_input cannot be called with run_id, run_dir, inbox_path and cli_args"
        ),
    ),
    "a build_input that is no function": (
        {"__init__.py": SKILL["__init__.py"].replace("], build_input", "], None")},
        "SkillSpec build_input is None; it must be a function",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_skill_that_cannot_be_loaded_is_refused_in_a_sentence(author: Author, fault: str) -> None:
    """With the author's own file and line, where there is one."""
    files, sentence = BROKEN[fault]
    author.edit(**files)
    pinned = author.pin()
    with pytest.raises(Refusal) as refused:
        loader.load(pinned)
    assert sentence.format(folder=author.folder, python=sys.executable) in str(refused.value)
    assert len(str(refused.value)) <= records.SENTENCE_LIMIT
    assert str(refused.value).isprintable()
    assert not [name for name in sys.modules if pinned.digest[:12] in name]
    assert sys.modules["json"] is json
    assert "facts" not in sys.modules
    assert not [each for each in sys.path if pinned.digest in each]


def test_a_skill_that_never_finishes_loading_holds_up_no_other(
    author: Author, loaded: list[Pinned], tmp_path: Path
) -> None:
    """Nor its being dropped."""
    good = author.pin()
    wait = "while not os.path.exists({!r}): threading.Event().wait(0.01)\n"
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    author.edit(**{"facts.py": f"import os, threading\nos.mkdir({str(begun)!r})\n{wait.format(str(gate))}VERSION = 1"})
    stuck = author.pin()
    loaded += [good, stuck]
    thread = threading.Thread(target=lambda: loader.load(stuck))
    thread.start()
    try:
        waiting.eventually(begun.exists)
        assert loader.load(good).name == "two-words"
        loader.drop(good)
    finally:
        gate.touch()
        thread.join(30)


def test_modules_named_as_others_are_the_skills_own(author: Author, loaded: list[Pinned]) -> None:
    """Neither Python's, nor those of other skills, nor an installed package's."""
    names = {"json": "VERSION = 'own json'\n", "temporalio": "VERSION = 'own temporalio'\n"}
    own = {f"{name}.py": text for name, text in names.items()}
    body = (
        "import json as installed\nfrom . import json, temporalio\n"
        "def build_input(*, run_id, run_dir, inbox_path, cli_args):\n"
        "    return installed.dumps([json.VERSION, temporalio.VERSION])\n"
    )
    author.edit(**own, **{"__init__.py": SKILL["__init__.py"].replace("def build_input", "def unused") + body})
    loaded.append(author.pin())
    assert build(loaded[0]) == '["own json", "own temporalio"]'
    assert sys.modules["json"] is json
    loader.rehearse(loader.load(loaded[0]))


def test_the_names_that_are_sagaflows_own_are_those_of_its_activities() -> None:
    """One that a version adds must be added there, or a skill's own of that name would be started in its place."""
    routed = {interceptors.BUILD_INPUT, *interceptors.LOCAL, *interceptors.MODEL}
    others = {"is_retried", "list_mcp_tools", "prepare_child", "prompt_batch", "run_function", "use_tool"}
    assert routed | others == skill_check.OWN_ACTIVITIES


def test_a_skill_may_have_children_and_steps_of_any_other_name(author: Author, loaded: list[Pinned]) -> None:
    """Beside Sagaflow's own."""
    text = activities("fetch", "dynamic").replace("[own_0", "[write_artifact, own_0")
    author.edit(**{"__init__.py": text, "workflow.py": SKILL["workflow.py"] + SECOND.format(name="Second")})
    loaded.append(author.pin())
    spec = loader.load(loaded[0])
    assert skill_check.activity_names(spec) == ["write_artifact", "fetch", ""]
    assert [each.__name__ for each in loader.workflows(spec)] == ["Reader", "Second"]


def test_a_workflow_that_fails_in_the_sandbox_is_refused_by_the_rehearsal(author: Author, loaded: list[Pinned]) -> None:
    """It would otherwise fail in the worker, again and again."""
    fails = "from temporalio.workflow import unsafe\nif unsafe.in_sandbox():\n    raise OSError('no way')\n"
    author.edit(**{"workflow.py": fails + SKILL["workflow.py"]})
    loaded.append(author.pin())
    with pytest.raises(Refusal, match=r"workflow\.py, line 3\) failed while it was loaded: OSError: no way"):
        loader.rehearse(loader.load(loaded[0]))


def test_an_error_in_build_input_names_the_authors_line(author: Author, loaded: list[Pinned]) -> None:
    """Not that of the copy."""
    author.edit(
        **{"__init__.py": SKILL["__init__.py"].replace("    return str(", "    cli_args.oops\n    return str(")}
    )
    loaded.append(author.pin())
    with pytest.raises(Refusal) as refused:
        build(loaded[0])
    assert f"failed ({author.folder}/__init__.py, line 7): AttributeError" in str(refused.value)


def test_a_traceback_shows_the_text_that_ran_under_the_authors_name(author: Author, loaded: list[Pinned]) -> None:
    """Also after an edit; a line in which two loaded versions of the file differ is shown as none."""
    author.edit(**{"facts.py": "def fail():\n    return {}['one']\n"})
    one = author.pin()
    loaded.append(one)
    loader.load(one)
    author.edit(**{"facts.py": "# An edit.\n\n\ndef fail():\n    return {}['two']\n"})
    where = f'  File "{author.folder}/facts.py", line 2, in fail\n'
    assert raised_in(one).startswith(f"{where}    return {{}}['one']\n")
    two = author.pin()
    loaded.append(two)
    loader.load(two)
    assert raised_in(one) == where
    loader.drop(two)
    assert raised_in(one).startswith(f"{where}    return {{}}['one']\n")


def raised_in(pinned: Pinned) -> str:
    """The last frame of the traceback that the version's `fail` leads to."""
    with pytest.raises(KeyError) as raised:
        sys.modules[f"{pinned.package}.facts"].fail()
    return traceback.format_tb(raised.tb)[-1]
