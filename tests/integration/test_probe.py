"""The verdict on a version of a skill, found out in a child process."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import catalog, pinning, probe
from sagaflow_mcp.errors import Refusal
from tests import waiting

if TYPE_CHECKING:
    from pathlib import Path

    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.pinning import Pinned

SKILL = """
from datetime import timedelta
from pathlib import Path
from pydantic import BaseModel
from temporalio import workflow
from sagaflow.durable.activities import spawn_subagent, write_artifact
from sagaflow.registry import SkillSpec

class Arguments(BaseModel):
    depth: int = 1

@workflow.defn(name="Digger")
class Digger:
    @workflow.run
    async def run(self, depth: int) -> None: ...

def build_input(*, run_id, run_dir, inbox_path, cli_args):
    Path(run_dir, "note.txt").write_text("x")
    if cli_args["depth"] > 3:
        raise ValueError("depth must be 1 to 3")
    return cli_args["depth"]

def register(registry):
    registry.register(SkillSpec(
        name="dig", workflow_cls=Digger, activities=[write_artifact, spawn_subagent], build_input=build_input,
        arguments=Arguments, execution_timeout=timedelta(hours=1)))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The author's directory of the skill `dig`."""
    made = tmp_path / "skills" / "dig"
    made.mkdir(parents=True)
    return made


def pin(home: Home, folder: Path, text: str) -> Pinned:
    """The version of the skill with `text` as its only module."""
    (folder / "__init__.py").write_text(text, encoding="utf-8")
    return pinning.pin(home, catalog.find("dig", [catalog.Root("path", folder.parent)]))


def log(pinned: Pinned) -> str:
    """What the skill printed while it was probed."""
    return (pinned.folder / "probe.log").read_text(encoding="utf-8", errors="replace")


def refusal(home: Home, pinned: Pinned, seconds: int = 15, **arguments: object) -> str:
    """The sentence that the version is refused with."""
    with pytest.raises(Refusal) as refused:
        probe.verdict(home, pinned, arguments, seconds)
    return str(refused.value)


def test_the_verdict_says_what_the_skill_needs_and_takes_and_is_kept(home: Home, folder: Path) -> None:
    """Everything a launch must know without importing the skill: the second one costs a read."""
    pinned = pin(home, folder, f"print('loading')\n{SKILL}")
    found = probe.verdict(home, pinned)
    assert (found.needs_model, found.workflow_type) == (True, "Digger")
    assert found.execution_timeout is not None
    assert found.execution_timeout.total_seconds() == 3600
    assert found.arguments is not None
    assert found.arguments["properties"]["depth"]["type"] == "integer"
    assert "loading" in log(pinned)
    (pinned.folder / "probe.log").unlink()
    assert probe.verdict(home, pinned) == found
    assert not (pinned.folder / "probe.log").exists()

    # One that says more, as those do that are in homes from before, is still one.
    file = pinned.folder / "probe.json"
    kept = json.loads(file.read_text(encoding="utf-8"))
    kept["verdict"] |= {"needs_key": True, "workflow_type": "Kept"}
    file.write_text(json.dumps(kept), encoding="utf-8")
    assert probe.verdict(home, pinned).workflow_type == "Kept"
    assert not (pinned.folder / "probe.log").exists()

    # What a skill imports may be gone since: it is found out afresh when that is asked for.
    assert probe.verdict(home, pinned, afresh=True) == found
    assert "loading" in log(pinned)


@pytest.mark.parametrize("damage", ["", "{", '{"made_by": "0.0.0 /elsewhere", "verdict": {}}', "[]"])
def test_a_verdict_of_another_version_or_a_damaged_one_is_found_out_anew(home: Home, folder: Path, damage: str) -> None:
    """An upgrade may have changed what the skill can import."""
    pinned = pin(home, folder, SKILL)
    (pinned.folder / "probe.json").write_text(damage, encoding="utf-8")
    assert probe.verdict(home, pinned).workflow_type == "Digger"


def test_the_arguments_are_tried_and_build_inputs_own_sentence_comes_back(home: Home, folder: Path) -> None:
    """The skill itself is found good and kept."""
    pinned = pin(home, folder, SKILL)
    assert refusal(home, pinned, depth="7") == "skill 'dig' refused its arguments: depth must be 1 to 3"
    assert json.loads((pinned.folder / "probe.json").read_text(encoding="utf-8"))["verdict"]["needs_model"]
    assert not list(pinned.folder.glob(".probe-*"))


def test_a_syntax_error_names_the_authors_file_and_line(home: Home, folder: Path) -> None:
    """Without a child process."""
    pinned = pin(home, folder, "x = 1\nx = = 2\n")
    assert refusal(home, pinned) == f"skill 'dig' has a syntax error in {folder}/__init__.py, line 2: invalid syntax"


def test_a_skill_that_hangs_is_ended_with_everything_it_started(home: Home, folder: Path, tmp_path: Path) -> None:
    """The lock file of a grandchild is free again."""
    held = tmp_path / "held"
    pinned = pin(
        home,
        folder,
        "import fcntl, subprocess, sys, threading\n"
        f"file = open({str(held)!r}, 'w'); fcntl.flock(file, fcntl.LOCK_EX)\n"
        "wait = 'import threading; threading.Event().wait(60)'\n"
        "subprocess.Popen([sys.executable, '-c', wait], pass_fds=[file.fileno()])\n"
        "print('waiting', flush=True)\n"
        "threading.Event().wait(60)\n",
    )
    assert f"({folder}/__init__.py, line 6) did not finish loading within 3 s" in refusal(home, pinned, seconds=3)
    assert "waiting" in log(pinned)

    def is_free() -> bool:
        """Whether nobody holds the lock any more."""
        import fcntl  # noqa: PLC0415 - only this test asks

        with held.open("a", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    waiting.eventually(is_free)


def test_a_skill_that_ends_the_process_is_refused_with_the_way_it_did(home: Home, folder: Path) -> None:
    """A crash takes nobody along."""
    pinned = pin(home, folder, "import os\nprint('last words', flush=True)\nos._exit(7)\n")
    assert "ended the process that loaded it (exit code 7)" in refusal(home, pinned)
    assert "last words" in log(pinned)


def test_an_endless_loop_is_refused_with_its_line(home: Home, folder: Path) -> None:
    """Although it keeps the processor to itself."""
    pinned = pin(home, folder, "x = 1\nwhile True: pass\n")
    assert f"skill 'dig' ({folder}/__init__.py, line 2) did not finish loading" in refusal(home, pinned, seconds=1)


def test_why_a_version_was_refused_is_remembered_until_it_is_found_good(home: Home, folder: Path) -> None:
    """For lists, which load nothing; a launch is refused anew, since what is missing may be installed meanwhile."""
    pinned = pin(home, folder, "import sagaflow_made_for_this_test\n")
    assert probe.last_problem(home, "dig", pinned.digest) is None
    said = refusal(home, pinned)
    assert "which is not installed" in said
    assert not (pinned.folder / "probe.json").exists()
    assert probe.last_problem(home, "dig", pinned.digest) == said
    good = pin(home, folder, SKILL)
    (good.folder / "refused.json").write_text((pinned.folder / "refused.json").read_text("utf-8"), encoding="utf-8")
    probe.verdict(home, good)
    assert probe.last_problem(home, "dig", good.digest) is None


def test_code_that_lets_nothing_else_run_is_ended_too(home: Home, folder: Path) -> None:
    """Such as a pattern that takes for ever: nobody can ask where it is."""
    pinned = pin(home, folder, "import re\nre.match('(a*)*b', 'a' * 60)\n")
    assert "skill 'dig' did not finish loading within 1 s" in refusal(home, pinned, seconds=1)


def test_a_skill_is_loaded_in_a_thread_as_a_worker_does(home: Home, folder: Path) -> None:
    """What needs the main thread would only fail later."""
    pinned = pin(home, folder, "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n")
    assert f"({folder}/__init__.py, line 2) failed while it was loaded: ValueError: signal only works" in refusal(
        home, pinned
    )


def test_a_skill_may_print_as_much_as_it_likes(home: Home, folder: Path) -> None:
    """Its output is neither the verdict nor fills the disk."""
    pinned = pin(home, folder, f"import sys\nprint('{{\"ok\": false}}')\nsys.stdout.write('x' * 5_000_000)\n{SKILL}")
    assert probe.verdict(home, pinned).workflow_type == "Digger"
    assert len(log(pinned)) == probe.LOG_LIMIT


def test_a_skill_sees_no_credentials_no_input_and_no_module_in_the_current_folder(
    home: Home, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading must not depend on who launches, and a project cannot slip code into a launch."""
    (tmp_path / "temporalio.py").write_text("raise SystemExit('taken over')\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "planted-key")
    monkeypatch.setenv("CLAUDE_CODE_OAUTH_TOKEN", "planted-token")
    look = "import os, sys\nprint([v for v in os.environ.values() if 'planted' in v], repr(sys.stdin.read()))\n"
    pinned = pin(home, folder, look + SKILL)
    assert probe.verdict(home, pinned).workflow_type == "Digger"
    assert set(log(pinned).splitlines()) == {"[] ''"}


def test_launches_at_once_probe_a_version_once(home: Home, folder: Path, tmp_path: Path) -> None:
    """The others wait and read the verdict."""
    tally = tmp_path / "tally"
    pinned = pin(home, folder, f"open({str(tally)!r}, 'a').write('x')\n{SKILL}")
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(probe.verdict(home, pinned).workflow_type)) for _ in range(8)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join(timeout=60)
    assert found == ["Digger"] * 8
    assert os.path.getsize(tally) in {1, 2}  # noqa: PTH202 - the module is loaded once outside and once inside the sandbox


def test_of_a_function_it_is_known_what_it_takes(home: Home, folder: Path) -> None:
    """Once it was loaded, so that a launch without a worker need not load it again for its arguments."""
    pinned = pin(home, folder, 'from sagaflow_mcp import skill\n\n@skill("dig")\nasync def dig(ctx, depth: int): ...\n')
    assert not probe.knows_arguments(pinned)
    probe.verdict(home, pinned, {"depth": 3})
    assert probe.knows_arguments(pinned)
