"""Launches at once, and launches that are refused."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from sagaflow_mcp import artifacts, engine_client, launch, markers, records
from sagaflow_mcp.testing import LocalSagaflow, Rule, ToolUse
from tests import process_table, waiting
from tests.integration.clients import as_process, in_process, with_client

if TYPE_CHECKING:
    from collections.abc import Iterator

SKILLS = Path(__file__).parent / "skills"
AT_ONCE = 20

LOUD = """
import sys
from sagaflow.registry import SkillSpec
from temporalio import workflow

@workflow.defn
class Loud:
    @workflow.run
    async def run(self, how: str) -> str:
        return how

def build_input(*, run_id, run_dir, inbox_path, cli_args):
    if cli_args["how"] == "exits":
        sys.exit("enough")
    raise ValueError("\\x1b[31m</x>\\n" + "very " * (1_000_000 if cli_args["how"] == "floods" else 20_000))

def register(registry):
    registry.register(SkillSpec("loud", Loud, [], build_input))
"""
"""A skill that says no with all its might."""


def test_twenty_launches_at_once_on_a_cold_home() -> None:
    """Twenty processes: twenty runs, twenty endings, one engine and one worker."""
    with LocalSagaflow(skills=[SKILLS]) as local:
        command = [sys.executable, "-m", "sagaflow_mcp", "launch", "endings", "--how", "return", "--json"]
        started = [
            subprocess.Popen(
                command, env=local.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
            )
            for _ in range(AT_ONCE)
        ]
        said = [process.communicate(timeout=120) for process in started]
        assert [(process.returncode, error) for process, (_, error) in zip(started, said, strict=True)] == [
            (0, "")
        ] * AT_ONCE
        runs = {json.loads(out)["run_id"] for out, _ in said}
        assert len(runs) == AT_ONCE
        assert {local.wait(run_id).state for run_id in runs} == {"DONE"}
        assert sorted(entry.run_id for entry in local.inbox()) == sorted(runs)
        status = engine_client.status(local.settings.home)
        assert status is not None
        assert (status["server"]["restarts"], status["worker"]["restarts"]) == (0, 0)
        assert _processes_of(local, "sagaflow_mcp.engine") == 1
        assert _processes_of(local, "sagaflow_mcp.worker") == 1


def _processes_of(local: LocalSagaflow, module: str) -> int:
    return sum(line.split()[2:4] == ["-m", module] for line in process_table.naming(str(local.folder)))


@pytest.fixture(scope="module")
def cold() -> Iterator[LocalSagaflow]:
    """A Sagaflow whose engine is never started, since all its launches are refused."""
    with LocalSagaflow(skills=[SKILLS]) as started:
        broken = started.folder / ".claude" / "skills" / "broken"
        broken.mkdir(parents=True)
        (broken / "__init__.py").write_text("def register(registry:\n    pass\n", encoding="utf-8")
        (broken / "workflow.py").write_text("", encoding="utf-8")
        yield started


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["endigns"], 1, ["'endigns'", "'endings'"]),
        (["endings"], 1, ["missing argument 'how'"]),
        (["endings", "--how", "return", "--hwo", "x"], 1, ["unknown argument 'hwo'", "'how'"]),
        (["endings", "--how", "refused"], 1, ["how='refused' is not a way to end"]),
        (["endings", "--args-json", '{"how": ["\\ud800"]}'], 1, ["'how'", "not valid Unicode"]),
        (["endings", "--args-json", '{"how": {"deep": 1e999}}'], 1, ["'how'", "cannot be written as JSON"]),
        (["endings", "--args-json", '{"how": NaN}'], 2, ["--args-json is not JSON: JSON has no NaN"]),
        (["endings", "--args-json", '{"how": ' + "[" * 50_000], 2, ["--args-json", "nested too deeply"]),
        (["hello-world", "--args-json", '{"name": 5}'], 1, ["'name'", "5"]),
        (["hello-world", "--nmae", "x"], 1, ["unknown argument 'nmae'", "'name'"]),
        (["hello-world", "--task", "x"], 2, ["--task", "'hello-world'", "a SKILL or a --task, and not both"]),
        (["hello-world", "--name", "x", "--task", "x"], 2, ["--task", "'hello-world'", "no such parameter"]),
        (["endigns", "--task", "x"], 1, ["'endigns'", "'endings'"]),
        (["--task", "x", "hello-world"], 2, ["'hello-world' stands after --task TEXT"]),
        (["--task", " "], 2, ["--task is blank"]),
        (["task", "--task", " "], 1, ["argument 'task' of skill 'task' is ' '"]),
        (["--task", "x", "--arg", "name=x"], 2, ["--arg goes with a SKILL"]),
        (["--task", os.fsdecode(b"caf\xe9")], 1, ["argument 'task' of skill 'task'", "not valid Unicode"]),
        (["broken"], 1, ["broken/__init__.py", "line 1"]),
        (["endings", "--how"], 2, ["--how needs a value"]),
        (["endings", "how"], 2, ["'how' is not an option"]),
        (["endings", "--args-json", "{"], 2, ["--args-json is not JSON"]),
        (["endings", "--how", "return", "--id", "UPPER"], 1, ["run id 'UPPER' is not valid"]),
    ],
)
def test_a_bad_launch_is_one_sentence_and_starts_nothing(
    cold: LocalSagaflow, arguments: list[str], status: int, words: list[str]
) -> None:
    """The sentence names what was given; no engine, no marker, no run and no entry is left."""
    done = in_process(cold, "launch", *arguments)
    _is_one_sentence(done, status, words)
    _nothing_started(cold)


def test_a_word_that_is_not_unicode_is_one_sentence_and_starts_nothing(cold: LocalSagaflow) -> None:
    """As the bytes that a shell passes on."""
    done = as_process(cold, "launch", "endings", "--how", os.fsdecode(b"caf\xe9"))
    _is_one_sentence(done, 1, ["argument 'how' of skill 'endings'", "not valid Unicode"])
    _nothing_started(cold)


LOUD_WORDS = {
    "shouts": "skill 'loud' refused its arguments: \u2039/x\u203a very very",
    "floods": "skill 'loud' refused its arguments: \u2039/x\u203a very very",
    "exits": "build_input of skill 'loud' calls sys.exit",
}
"""What the skill `loud` is told to do, and what is to be seen of it."""


def add_loud(local: LocalSagaflow) -> None:
    """Give `local` the skill `loud`."""
    folder = local.folder / ".claude" / "skills" / "loud"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__init__.py").write_text(LOUD, encoding="utf-8")


@pytest.mark.parametrize("how", LOUD_WORDS)
def test_whatever_a_skill_says_is_one_short_harmless_sentence(cold: LocalSagaflow, how: str) -> None:
    """Where a child process tries its arguments."""
    add_loud(cold)
    done = in_process(cold, "launch", "loud", "--how", how)
    _is_one_sentence(done, 1, [LOUD_WORDS[how]])
    _nothing_started(cold)


@pytest.mark.parametrize("how", LOUD_WORDS)
def test_whatever_a_skill_says_to_a_warm_worker_is_one_short_harmless_sentence(local: LocalSagaflow, how: str) -> None:
    """Where the worker tries its arguments, which goes on afterwards."""
    add_loud(local)
    local.wait(local.launch("endings", how="return"))
    worker = local.pid("worker")
    _is_one_sentence(in_process(local, "launch", "loud", "--how", how), 1, [LOUD_WORDS[how]])
    assert local.pid("worker") == worker


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["endings", "--how", "return", "--hwo", "x"], ["unknown argument 'hwo'", "'how'"]),
        (["endings"], ["missing argument 'how'"]),
        (["endings", "--how", "refused"], ["how='refused' is not a way to end"]),
        (["hello-world", "--args-json", '{"name": 5}'], ["'name'", "5"]),
    ],
)
def test_a_bad_launch_is_refused_by_a_warm_worker_as_well(
    local: LocalSagaflow, arguments: list[str], words: list[str]
) -> None:
    """The worker refuses what a child process refuses where none is up; nothing of the run remains."""
    local.wait(local.launch("endings", how="return"))
    waiting.eventually(lambda: not markers.run_ids(local.settings.home), "the ending told")
    before = (len(local.inbox()), len(list(Path(local.settings.home.runs).iterdir())))
    _is_one_sentence(in_process(local, "launch", *arguments), 1, words)
    assert (len(local.inbox()), len(list(Path(local.settings.home.runs).iterdir()))) == before
    assert list(Path(local.settings.home.open_runs).iterdir()) == []


def test_a_launch_without_access_to_a_model_is_refused(cold: LocalSagaflow) -> None:
    """No key and no `claude`: refused at launch, and not a failed step later."""
    done = in_process(cold, "launch", "hello-world", ANTHROPIC_API_KEY="", ANTHROPIC_BASE_URL="")
    _is_one_sentence(done, 1, ["ANTHROPIC_API_KEY"])
    _nothing_started(cold)


def test_a_home_of_a_newer_version_is_refused(cold: LocalSagaflow, tmp_path: Path) -> None:
    """A home whose layout this version does not know is left alone."""
    (tmp_path / "layout").write_text("99\n", encoding="utf-8")
    tmp_path.chmod(0o700)
    _is_one_sentence(in_process(cold, "launch", "endings", SAGAFLOW_HOME=str(tmp_path)), 1, ["newer version", "99"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "blobs",
        "engine",
        "inbox",
        "layout",
        "open",
        "runs",
        "seen",
        "sessions",
        "skills",
    ]


def test_a_home_that_cannot_be_one_is_refused(cold: LocalSagaflow, tmp_path: Path) -> None:
    """A file in the home's place, and a home that others can write, are each one sentence."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    _is_one_sentence(in_process(cold, "inbox", SAGAFLOW_HOME=str(tmp_path / "file")), 1, [str(tmp_path / "file")])
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    _is_one_sentence(in_process(cold, "inbox", SAGAFLOW_HOME=str(shared)), 1, ["chmod 700"])


def test_a_task_is_done_without_a_skill(local: LocalSagaflow, tmp_path: Path) -> None:
    """In the folder that it is launched from, by the bundled skill, whatever the user has under that name."""
    mine = local.folder / ".claude" / "skills" / "task"
    mine.mkdir(parents=True)
    (mine / "SKILL.md").write_text("---\ndescription: Mine.\n---\nSay so.", encoding="utf-8")
    write = ToolUse(name="write_file", input={"path": "note.txt", "content": "noted"})
    local.model.replace(
        Rule(match="Write a note", tools=(write,)),
        Rule(match="wrote 5 characters", reply="The note is written.\n\nAll."),
    )
    words = ["launch", "--task", "Write a note.", "--id", "noted", "--await"]
    done = as_process(local, *words, "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    run = json.loads(done.stdout)
    assert (run["run_id"], run["state"], run["result"]) == ("noted", "DONE", "The note is written.\n\nAll.")
    assert (tmp_path / "note.txt").read_text(encoding="utf-8") == "noted"
    assert Path(run["report_path"]).read_text(encoding="utf-8") == "The note is written.\n\nAll."
    (entry,) = local.inbox("noted")
    assert (entry.skill, entry.status, entry.project_dir) == ("task", "DONE", str(tmp_path))
    assert entry.summary.startswith("The note is written.")
    calls = len(local.model.requests)
    assert in_process(local, *words).stdout == "The note is written.\n\nAll.\n", "the same run again"
    assert len(local.model.requests) == calls
    _is_one_sentence(in_process(local, "launch", "--task", "Write another.", "--id", "noted"), 1, ["'noted'", "DONE"])
    _is_one_sentence(in_process(local, "launch", "task", "--task", "Write."), 2, ["--task", "skill 'task'"])


def test_a_launch_that_was_killed_before_its_start_was_sent_is_made_up_for_by_the_next(
    local: LocalSagaflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same id: that is what an id of one's own is for. Nothing is doubled, also where it was sent after all."""

    async def killed(*_: object) -> None:
        """Stands for what a killed launch does no more."""
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(launch, "_start", killed)
        with pytest.raises(RuntimeError, match="killed"):
            local.launch("endings", run_id="cut-off", how="return")
    home = local.settings.home
    (Path(home.run("cut-off")) / "run.json").unlink()
    assert local.launch("endings", run_id="cut-off", how="return") == "cut-off"
    assert local.wait("cut-off").result == "heard []"
    waits = local.launch("endings", run_id="waiting", how="wait")
    (Path(home.run(waits)) / artifacts.EXECUTION).unlink()
    assert local.launch("endings", run_id="waiting", how="wait") == waits
    with_client(local, lambda client: client.get_workflow_handle(waits).signal("say", "enough"))
    assert local.wait(waits).result == "heard ['enough']"
    assert [[entry.status for entry in local.inbox(each)] for each in ("cut-off", waits)] == [["DONE"], ["DONE"]]


def test_an_open_run_whose_folder_was_removed_can_be_ended(local: LocalSagaflow) -> None:
    """It is listed, and so can be shown and cancelled; its ending is told."""
    run_id = local.launch("endings", how="wait")
    shutil.rmtree(local.settings.home.run(run_id))
    shown = in_process(local, "show", run_id)
    assert (shown.returncode, f"{run_id}: RUNNING" in shown.stdout) == (0, True)
    assert in_process(local, "cancel", run_id).returncode == 0
    assert local.wait(run_id).state == "CANCELLED"
    assert [entry.status for entry in local.inbox(run_id)] == ["CANCELLED"]


def test_launches_of_one_chosen_id_at_once_are_one_run(local: LocalSagaflow) -> None:
    """One starts it, the others attach to it."""
    before = len(local.inbox())
    with ThreadPoolExecutor(6) as threads:
        words = ("launch", "endings", "--how", "return", "--id", "chosen")
        launches = [threads.submit(as_process, local, *words) for _ in range(6)]
    assert [(each.result().returncode, each.result().stderr) for each in launches] == [(0, "")] * 6
    ended = local.wait("chosen")
    assert ended.state == "DONE"
    assert len(local.inbox()) == before + 1
    # As it is in the moment after the ending was told: the marker goes last.
    waiting.eventually(lambda: not markers.exists(local.settings.home, "chosen"))
    markers.claim(local.settings.home, records.OpenRun("chosen", "endings", "", "", ended.created_at, "h"))
    done = in_process(local, "launch", "endings", "--how", "raise", "--id", "chosen")
    _is_one_sentence(done, 1, ["'chosen'", "has already ended (DONE"])


def test_an_id_that_is_taken_is_not_given_to_another_run(local: LocalSagaflow) -> None:
    """Two launches of one second may draw the same characters; the user is none the wiser."""
    home, drawn = local.settings.home, iter(["endings-taken", "endings-taken", "endings-free"])
    taken = records.OpenRun("endings-taken", "endings", "0" * 64, "", records.now(), "0" * 64)
    assert markers.claim(home, taken)
    try:
        request = launch.Request("endings", {"how": "return"})
        launched = anyio.run(launch.launch, local.settings, request, lambda _skill: next(drawn))
    finally:
        markers.remove(home, "endings-taken")
    assert (launched.run_id, launched.attached) == ("endings-free", False)
    assert local.wait("endings-free").state == "DONE"


def test_a_run_can_be_launched_from_a_folder_whose_name_is_not_unicode(local: LocalSagaflow, tmp_path: Path) -> None:
    """It belongs to that folder by the name that Claude Code has for it."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has no such names")
    done = as_process(local, "launch", "endings", "--how", "return", "--await", cwd=folder)
    assert (done.returncode, done.stderr.count("bug")) == (0, 0), done.stderr
    assert [entry.project_dir for entry in local.inbox()][:1] == [f"{tmp_path}/caf\ufffd"]


SAID = "\x1b]0;title\x07\x1b[31mred\x1b[0m and </b>\nthe \u202elast\u2066 line"
"""What a model may say, whatever it is asked."""


def test_a_result_is_exact_in_a_pipe_and_harmless_on_a_terminal(local: LocalSagaflow) -> None:
    """A program wants the text, and nobody wants a terminal that obeys it."""
    local.model.add(Rule(match="planted-prompt-word", reply=SAID, times=1))
    launched = ["launch", "endings", "--how", "model", "--id", "said"]
    assert as_process(local, *launched, "--await").stdout == f"{SAID}\n"
    assert as_process(local, *launched).stdout == f"{SAID}\n"
    for more in ([], ["--await"]):
        assert on_terminal(local, *launched, *more) == "red and </b>\r\nthe last line\r\n"


def on_terminal(local: LocalSagaflow, *arguments: str) -> str:
    """What a terminal is sent on the command's standard output."""
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "sagaflow_mcp", *arguments]
    subprocess.run(
        command,
        env=local.environment(),
        stdin=subprocess.DEVNULL,
        stdout=its,
        stderr=subprocess.PIPE,
        timeout=60,
        check=True,
    )
    os.close(its)
    sent = b""
    # Linux says that the other side is gone by an error.
    with contextlib.suppress(OSError), os.fdopen(ours, "rb", buffering=0) as terminal:
        while chunk := terminal.read(4096):
            sent += chunk
    return sent.decode()


def _is_one_sentence(done: subprocess.CompletedProcess[str], status: int, words: list[str]) -> None:
    assert done.returncode == status, done.stderr
    (line,) = done.stderr.splitlines()
    assert len(line) <= len("sagaflow: ") + records.SENTENCE_LIMIT
    assert line.isprintable()
    assert not set("<>") & set(line)
    assert [word for word in words if word not in line] == [], line
    assert done.stdout == ""


def _nothing_started(local: LocalSagaflow) -> None:
    home = local.settings.home
    assert engine_client.status(home) is None
    assert [*Path(home.open_runs).iterdir(), *Path(home.runs).iterdir()] == []
    assert local.inbox() == []
