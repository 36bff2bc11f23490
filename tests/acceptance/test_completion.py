"""Completion in a shell: the real bash, with the script that we print, and what the other shells are told."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagaflow_mcp import artifacts, inbox, records, schedule_files
from sagaflow_mcp.testing import LocalSagaflow
from tests import command_line
from tests.acceptance import tools

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BUNDLED = [each.parent.name for each in tools.ROOT.glob("skills/*/SKILL.md")]
LIMIT = 90
"""Seconds that a shell may take to complete many lines."""

SKILL = '''
from sagaflow_mcp import skill

@skill("{name}")
async def {name}(ctx, name: str) -> str:
    """Says it again."""
    return name
'''

END = "-- the end of what is offered --"
HOSTILE = "\x1b[31mred\n$(touch owned) `touch owned`"


@pytest.fixture(scope="module")
def sagaflow() -> Iterator[LocalSagaflow]:
    """A user with a run, two results, and skills in two folders of their own, one of them broken."""
    with LocalSagaflow() as local:
        run = Path(local.settings.home.run("greeting-1"))
        run.mkdir()
        artifacts.write_json(run / "run.json", {"skill": "hello-world", "created_at": records.now()})
        ended = records.Entry("greeting-1~1", "greeting-1", "hello-world", "DONE", "hello", records.now())
        artifacts.write_json(run / "ending.json", {"status": ended.status, "summary": ended.summary})
        inbox.deliver(local.settings.home, ended)
        note = records.Entry("noted-1~1", "noted-1", "x", "NOTE", HOSTILE, records.now())
        inbox.deliver(local.settings.home, note)
        mornings = schedule_files.Schedule(
            "mornings", "hello-world", {}, "@daily", "UTC", 3600, "skip", "", [], "", records.now()
        )
        schedule_files.add(local.settings.home, mornings)
        Path(local.settings.home.config).write_text('[skills]\npath = "~/shared"\n', encoding="utf-8")
        for name, root in (("greet", ".claude/skills"), ("broken", ".claude/skills"), ("share", "shared")):
            folder = local.folder / root / name
            folder.mkdir(parents=True)
            text = "(" if name == "broken" else SKILL.format(name=name)
            folder.joinpath("workflow.py").write_text(text, encoding="utf-8")
            folder.joinpath("SKILL.md").write_text(f"---\ndescription: {HOSTILE!r}\n---\n", encoding="utf-8")
        shown = command_line.in_process("launch", "share", "--help", env=local.environment(), cwd=local.folder)
        assert shown.returncode == 0, shown.stderr
        yield local


def completed(local: LocalSagaflow, lines: Iterable[str]) -> list[list[str]]:
    """What a bash offers at the end of each of `lines` when Tab is pressed."""
    script = """
        eval "$(sagaflow completion bash)"
        complete -p sagaflow >/dev/null || exit
    """
    for line in lines:
        words = line.split(" ")
        script += f"""
            COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)} COMP_TYPE=9 COMP_CWORD={len(words) - 1}
            COMP_WORDS=({" ".join(map(shlex.quote, words))}) COMPREPLY=()
            _python_argcomplete sagaflow
            printf '%s\\n' "${{COMPREPLY[@]}}" {shlex.quote(END)}
        """
    environ = {**local.environment(), "PATH": tools.path()}
    done = tools.run(["bash", "--norc", "-c", script], env=environ, cwd=local.folder, seconds=LIMIT)
    assert done.stderr == ""
    *offered, rest = done.stdout.split(f"{END}\n")
    assert rest == ""
    return [sorted(word.strip() for word in each.splitlines() if word.strip()) for each in offered]


OFFERED = {
    "sagaflow in": ["inbox"],
    "sagaflow engine ": ["logs", "status", "stop"],
    "sagaflow show ": ["greeting-1"],
    "sagaflow show no": [],
    "sagaflow dismiss ": ["greeting-1", "noted-1"],
    "sagaflow launch ": sorted([*BUNDLED, "greet", "share"]),
    "sagaflow launch --t": ["--task"],
    "sagaflow launch --task it": [],
    "sagaflow launch --task it ": ["--allow", "--await", "--execution-timeout", "--help", "--id", "--json"],
    "sagaflow launch approval --t": ["--task"],
    "sagaflow launch hello-world --t": [],
    "sagaflow skills ": ["check", "list", "new", "test", "trust"],
    "sagaflow skills new greet --form ": ["1", "2", "3"],
    "sagaflow skills check b": ["broken"],
    "sagaflow launch hello-world --n": ["--name"],
    "sagaflow launch --await hello-world --n": ["--name"],
    "sagaflow launch share --n": ["--name"],
    "sagaflow launch greet --n": [],
    "sagaflow runs --status T": ["TERMINATED", "TIMED_OUT"],
    "sagaflow runs --status O": ["OPEN"],
    "sagaflow runs --skill gr": ["greet"],
    "sagaflow watch gr": ["greeting-1"],
    "sagaflow watch --": ["--help", "--once"],
    "sagaflow show greeting-1 --": ["--force", "--help", "--html", "--json", "--lines"],
    "sagaflow inbox ": ["--all", "--help", "--json", "--limit"],
    "sagaflow inbox --limit ": [],
    "sagaflow completion ": ["bash", "fish", "zsh"],
    "sagaflow schedule ": ["add", "list", "pause", "remove", "resume", "run-now", "show"],
    "sagaflow schedule show ": ["mornings"],
    "sagaflow schedule add other gr": ["greet"],
    "sagaflow schedule add other hello-world --n": ["--name"],
    "sagaflow schedule add other hello-world --timezone Europe/Berl": ["Europe/Berlin"],
    "sagaflow schedule add other hello-world --overlap ": ["allow", "buffer", "cancel", "skip"],
    "sagaflow 'unfinished": [],
}
"""What is offered at the end of a line."""


def test_a_press_of_tab_offers_what_can_come(sagaflow: LocalSagaflow) -> None:
    """Runs, skills and the parameters that are known are those of the moment; files are not offered.

    Those of a bundled skill are always known, those of one's own once a launch has shown them.
    """
    assert dict(zip(OFFERED, completed(sagaflow, OFFERED), strict=True)) == OFFERED


def asked(environ: dict[str, str], cwd: Path, line: str) -> subprocess.CompletedProcess[str]:
    """What a command answers whose shell, such as fish, shows a word with what it means."""
    more = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_DFS": "\t", "_ARGCOMPLETE_IFS": "\n", "_ARGCOMPLETE_SHELL": "fish"}
    environ = {**environ, **more, "COMP_LINE": line, "COMP_POINT": str(len(line))}
    return subprocess.run(
        ["bash", "-c", f"{shlex.quote(str(tools.COMMANDS / 'sagaflow'))} 8>&1 >/dev/null"],
        env=environ,
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_what_a_word_means_is_a_short_harmless_line(sagaflow: LocalSagaflow) -> None:
    """It may come from a model."""
    done = asked(sagaflow.environment(), sagaflow.folder, "sagaflow dismiss ")
    said = dict(line.split("\t") for line in done.stdout.splitlines())
    assert said == {"greeting-1": "DONE hello", "noted-1": "NOTE red $(touch owned) `touch owned`"}
    assert not (sagaflow.folder / "owned").exists()


@pytest.mark.parametrize("line", ["sagaflow show ", "sagaflow dismiss ", "sagaflow launch ", "sagaflow launch x --"])
def test_a_home_that_is_not_there_is_not_made(tmp_path: Path, line: str) -> None:
    """Looking for words changes nothing."""
    environ = {"PATH": tools.path(), "HOME": str(tmp_path), "SAGAFLOW_HOME": str(tmp_path / "home")}
    done = asked(environ, tmp_path, line)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(shell: str, tmp_path: Path) -> None:
    """It is for the command by its name, wherever that is installed."""
    environ = {"PATH": tools.path(), "HOME": str(tmp_path)}
    done = command_line.in_process("completion", shell, env=environ, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    script = done.stdout
    assert "sagaflow" in script
    assert str(Path(tools.COMMANDS)) not in script
    assert ("compdef" in script) == (shell in {"bash", "zsh"})
