"""The figures of what starts and ends: the hook and the `sagaflow` command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import inbox, records
from sagaflow_mcp.paths import Home
from sagaflow_mcp.records import Entry
from tests.benchmarks.figures import Figure, in_turns, milliseconds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagaflow_mcp.testing import LocalSagaflow

ROOT = Path(__file__).parents[2]

SAGAFLOW = str(Path(sysconfig.get_path("scripts"), "sagaflow"))
"""The installed command."""

PROJECT, SESSION = "/projects/mine", "5e55-1"

HOOK_FILES = (
    *("__init__", "claude_process", "claude_sessions", "entry_lines", "errors", "guard", "hook", "inbox", "markers"),
    *("paths", "project_env", "records", "simple_toml", "ways"),
)
"""Modules of the package that the hook imports."""


def hook(rounds: int) -> list[Figure]:
    """The hook with 0 and 50 unread entries, and with 1,000 dismissed ones; also with a bytecode cache."""
    return [figure for python in _pythons() for figure in _hook(python, rounds)]


def _hook(python: Path, rounds: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        environ = {"PATH": os.pathsep.join([str(python.parent), os.environ["PATH"]]), "HOME": folder}
        clone, cached = _plugin(Path(folder, "clone")), _plugin(Path(folder, "cached"))
        subprocess.run([str(python), "-m", "compileall", "-q", str(cached)], check=True)
        cases = {
            "0 unread": (clone, _home(folder, "none", 0, 0), False),
            "50 unread": (clone, _home(folder, "some", 50, 0), True),
            "50 unread, 1,000 dismissed": (clone, _home(folder, "many", 50, 1000), True),
            "50 unread, bytecode cached": (cached, _home(folder, "again", 50, 0), True),
        }
        measured = {name: partial(_session_start, *case, environ) for name, case in cases.items()}
        command = [str(python), "-I", "-c", "import json,os,sys"]
        asked = partial(_prompt, clone, _told(clone, _home(folder, "told", 50, 0), environ), environ)
        shell = partial(milliseconds, ["sh", "-c", ":"], environ)
        baseline = partial(milliseconds, command, environ)
        found = in_turns(rounds, **measured, prompt=asked, shell=shell, baseline=baseline)
    nothing, *others = cases
    bars = dict(zip(others, (2.0, 2.0, None), strict=True))
    return [
        # Without a baseline: no Python is started for it.
        Figure(f"hook, {nothing}", found[nothing], "ms", bar=5),
        Figure("hook, prompt, nothing new", found["prompt"], "ms", bar=5, note="50 unread, all told"),
        Figure("hook, prompt, nothing new", found["prompt"], "ms", found["shell"], note="against sh -c :"),
        *(
            Figure(f"hook, {name}", found[name], "ms", found["baseline"], bar, note=str(python))
            for name, bar in bars.items()
        ),
    ]


def _session_start(root: Path, home: Home, says: bool, environ: Mapping[str, str]) -> float:
    # A new session each time: what it is told has to be claimed for it.
    event = {"hook_event_name": "SessionStart", "source": "startup", "session_id": str(uuid.uuid4()), "cwd": PROJECT}
    command = ["sh", str(root / "hooks" / "run.sh"), "session-start"]
    return milliseconds(command, {**environ, "SAGAFLOW_HOME": home.root}, json.dumps(event), says=says)


def _prompt(root: Path, home: Home, environ: Mapping[str, str], *, says: bool = False) -> float:
    """A prompt in a session that was told everything."""
    event = {"hook_event_name": "UserPromptSubmit", "session_id": SESSION, "cwd": PROJECT, "prompt": "Go on."}
    more = {"SAGAFLOW_HOME": home.root, "CLAUDE_CODE_SESSION_ID": SESSION}
    return milliseconds(
        ["sh", str(root / "hooks" / "run.sh"), "prompt"], {**environ, **more}, json.dumps(event), says=says
    )


def _told(root: Path, home: Home, environ: Mapping[str, str]) -> Home:
    """`home`, everything in which a session was told, prompt by prompt."""
    then = time.time() - 60
    os.utime(Path(home.inbox, "new"), (then, then))
    while not Path(home.seen, SESSION, ".told").exists():
        _prompt(root, home, environ, says=True)
    return home


def _pythons() -> list[Path]:
    """What `python3` on PATH comes to, and the system's own where that is another one.

    Not the command on PATH itself: a shim, as pyenv's, takes longer than Python, and would flatter each ratio. So do
    packages that a Python imports at each start, of which the system's own has fewest.
    """
    found = shutil.which("python3")
    if found is None:
        raise RuntimeError("there is no python3 on PATH, and so no hook to measure")
    command = [found, "-c", "import sys; print(sys.executable)"]
    resolved = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip()
    pythons = [Path(resolved).parent / "python3", Path("/usr/bin/python3")]
    return [python for number, python in enumerate(pythons) if python.exists() and python not in pythons[:number]]


def _plugin(plugin: Path) -> Path:
    """A copy of the hook as a fresh clone has it: no Python has left its bytecode there."""
    shutil.copytree(ROOT / "hooks", plugin / "hooks", ignore=shutil.ignore_patterns("__pycache__"))
    plugin.joinpath("sagaflow_mcp").mkdir()
    for name in HOOK_FILES:
        shutil.copy(ROOT / "sagaflow_mcp" / f"{name}.py", plugin / "sagaflow_mcp")
    return plugin


def _home(folder: str, name: str, unread: int, dismissed: int) -> Home:
    """A home with so many entries of this project."""
    home = Home(str(Path(folder, name))).prepare()
    for count, part in ((unread, "new"), (dismissed, "cur")):
        for number in range(count):
            entry = _entry(f"{part}-{number}")
            # Not by delivery, which takes milliseconds for each: it puts the same file there.
            path = Path(home.inbox, part, f"{entry.entry_id}.json")
            path.write_text(entry.to_json(), encoding="utf-8")
    if len(inbox.entries(home)) != unread + dismissed:
        raise RuntimeError("the inbox does not read what the benchmark wrote")
    return home


def _entry(run_id: str) -> Entry:
    return Entry(
        entry_id=f"{run_id}~0000abcd",
        run_id=run_id,
        skill="bench",
        status="DONE",
        summary="The report is finished: three findings, one of them serious, all with a way to put them right.",
        created_at=(datetime.now(UTC) - timedelta(minutes=5)).isoformat(timespec="seconds").replace("+00:00", "Z"),
        report_path=f"/home/someone/.sagaflow/runs/{run_id}/report.md",
        project_dir=PROJECT,
    )


def cli(rounds: int) -> list[Figure]:
    """`sagaflow --help`, and `sagaflow inbox` with 50 unread entries and 1,000 dismissed ones."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "SAGAFLOW_HOME": _home(folder, "home", 50, 1000).root}
        found = in_turns(
            rounds,
            help=partial(milliseconds, [SAGAFLOW, "--help"], environ, says=True),
            inbox=partial(milliseconds, [SAGAFLOW, "inbox"], environ, says=True),
            python=partial(milliseconds, [sys.executable, "-c", "pass"], environ),
        )
    note = f"python -c pass: {sorted(found['python'])[rounds // 2]:.0f} ms"
    return [
        Figure("sagaflow --help", found["help"], "ms", bar=250, note=note),
        Figure("sagaflow inbox", found["inbox"], "ms", bar=250, note="50 unread, 1,000 dismissed"),
    ]


def listing(rounds: int) -> list[Figure]:
    """`sagaflow runs` in a home with 10,000 runs, without and with a filter, beside one with 20."""
    with tempfile.TemporaryDirectory() as folder:
        few, many = (_home_of_runs(Path(folder, name), count) for name, count in (("few", 20), ("many", 10_000)))
        commands = {"runs": ["runs"], "failed": ["runs", "--status", "FAILED"], "recent": ["runs", "--since", "2d"]}
        measured = {name: partial(_said, words, many) for name, words in commands.items()}
        found = in_turns(rounds, **measured, baseline=partial(_said, ["runs"], few))
    return [
        figure
        for name, words in commands.items()
        for figure in (
            Figure(f"sagaflow {' '.join(words)}", found[name], "ms", bar=500, note="10,000 runs"),
            Figure(
                f"sagaflow {' '.join(words)}", found[name], "ms", found["baseline"], 3.0, note="the same with 20 runs"
            ),
        )
    ]


def _said(words: list[str], home: Home) -> float:
    return milliseconds([SAGAFLOW, *words], {**os.environ, "SAGAFLOW_HOME": home.root}, says=True)


def _home_of_runs(folder: Path, count: int) -> Home:
    """A home with so many runs that have ended, launched a minute apart until yesterday."""
    home = Home(str(folder)).prepare()
    for number in range(count):
        run_id, at = f"bench-{number:05d}", datetime.now(UTC).timestamp() - 86_400 - 60 * number
        run = Path(home.run(run_id))
        run.mkdir()
        about = {"skill": "bench", "created_at": records.moment(at), "project_dir": PROJECT, "arguments": {}}
        ending = {
            "entry_id": f"{run_id}~0000abcd",
            "status": "DONE" if number % 500 else "FAILED",
            "summary": "The report is finished: three findings.",
            "result": "x" * 200,
            "closed_at": records.moment(at + 30),
        }
        for name, content in (("run.json", about), ("ending.json", ending)):
            (run / name).write_text(json.dumps(content, indent=1), encoding="utf-8")
        os.utime(run / "run.json", (at, at))
        os.utime(run, (at + 30, at + 30))
    return home


def launch(local: LocalSagaflow, rounds: int) -> list[Figure]:
    """`sagaflow launch` of a run without steps, with engine and worker up."""
    environ = local.environment()

    def launched() -> float:
        took = milliseconds([SAGAFLOW, "launch", "bench"], environ, says=True)
        _let_runs_end(local)
        return took

    imported = partial(milliseconds, [sys.executable, "-c", "import temporalio.client"], environ)
    found = in_turns(rounds, launch=launched, baseline=imported)
    return [
        Figure("sagaflow launch, warm", found["launch"], "ms", found["baseline"], 2.0, note="import temporalio.client")
    ]


def _let_runs_end(local: LocalSagaflow) -> None:
    for marker in Path(local.settings.home.open_runs).iterdir():
        if records.is_run_id(marker.name):
            local.wait(marker.name)
