"""The verdict on a version of a skill: whether it loads, what it needs and which arguments it takes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from sagaflow_mcp import __version__, digest, paths, pinning, processes, skill_file, syntax
from sagaflow_mcp.errors import BrokenSkill, Failure, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sagaflow_mcp.paths import Home
    from sagaflow_mcp.pinning import Pinned, Source

T = TypeVar("T")

LOG_LIMIT = 64 * 1024
"""How much of what a skill prints while it is loaded is kept, in bytes."""

VERDICT_LIMIT = 4 * 1024 * 1024
"""The longest verdict read, in bytes."""

START_SECONDS = 10
"""How long the child process may take beyond what the skill has: it imports Temporal first."""

QUEUE_SECONDS = 60
"""How long to wait for other processes that probe the same version."""

BUNDLED = Path(__file__).with_name("bundled_verdicts.json")
"""The verdicts on the bundled skills, which need not be found out on each machine; `self_portrait` writes the file."""

CREDENTIALS = ("ANTHROPIC_", "CLAUDE_CODE_OAUTH")
"""Beginnings of the names of environment variables that a skill has no business to see."""


@dataclass(frozen=True)
class Verdict:
    """What a version of a skill that can be launched needs and takes."""

    needs_model: bool
    has_agents: bool
    workflow_type: str
    arguments: dict[str, Any] | None
    """The JSON schema of its arguments; None when it declares none."""
    execution_timeout_seconds: float | None
    allowed_tools: list[str]
    """The tools that its agents use without asking a person, beyond those that only read files."""

    @property
    def execution_timeout(self) -> timedelta | None:
        """How long a run may take in all; None for as long as it needs."""
        return None if self.execution_timeout_seconds is None else timedelta(seconds=self.execution_timeout_seconds)

    @classmethod
    def parse(cls, value: Mapping[str, Any]) -> Verdict:
        """The verdict in a JSON object; KeyError or TypeError when it is none."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__})


def verdict(
    home: Home,
    pinned: Pinned,
    arguments: Mapping[str, Any] | None = None,
    seconds: int = 15,
    *,
    afresh: bool = False,
) -> Verdict:
    """What `pinned` needs and takes, found out in a child process of at most `seconds` the first time, or `afresh`.

    Of a bundled skill it is known before.

    Where `arguments` are given, `build_input` is tried with them, in such a process as well. Only a good verdict is
    kept: what is wrong may be put right outside of the skill, by installing a package.

    Raises:
        Refusal: it cannot be launched, or not with `arguments`.
        Failure: the child cannot be started, or too many others are at it.
    """
    try:
        known = None if afresh else _stored(pinned)
        if known is None:
            with _turn(pinned):
                found = None if afresh else _stored(pinned)
                return found or _found_out(home, pinned, arguments, seconds)
        return known if arguments is None else _found_out(home, pinned, arguments, seconds)
    except OSError as error:
        raise Failure(f"skill {pinned.name!r} cannot be probed: {error}") from error


def known(home: Home, source: Source) -> Verdict | None:
    """What `source` needs and takes as it is now, where that was found out before; None otherwise.

    Raises:
        Refusal: it cannot be copied as it is: see `digest.files`.
    """
    return _stored(pinning.locate(home, source.name, digest.snapshot(str(source.path)).digest))


def knows_arguments(pinned: Pinned) -> bool:
    """Whether the arguments that the version takes are known, so that others are refused without trying them."""
    found = _stored(pinned)
    return found is not None and found.arguments is not None


def last_problem(home: Home, name: str, version: str) -> str | None:
    """Why the version of skill `name` could not be loaded when that was tried last; None where it could or was not."""
    pinned = pinning.locate(home, name, version)
    if _of_bundled(pinned):
        return None  # No launch tries it, so that none would clear what a check has met on a busy machine.
    return _kept(pinned, "refused.json", lambda value: str(value["problem"]))


def _found_out(home: Home, pinned: Pinned, arguments: Mapping[str, Any] | None, seconds: int) -> Verdict:
    if not skill_file.is_alone(pinned.code):  # It may have scripts in it, which nobody imports.
        syntax.check(pinned.name, pinned.code)
    answer = _inspected(home, pinned, arguments, seconds)
    found = _store(pinned, answer) if "workflow_type" in answer else None
    if found is None:
        with contextlib.suppress(OSError):  # Only lists would show it.
            _keep(pinned, "refused.json", {"problem": str(answer["problem"])})
        raise BrokenSkill(str(answer["problem"]), str(answer.get("file", "")), answer.get("line"))
    if not answer["ok"]:
        raise Refusal(str(answer["problem"]))
    return found


def _stored(pinned: Pinned) -> Verdict | None:
    """The verdict of this version of Sagaflow; None when there is none yet."""
    return _of_bundled(pinned) or _kept(pinned, "probe.json", lambda value: Verdict.parse(value["verdict"]))


def _of_bundled(pinned: Pinned) -> Verdict | None:
    """The verdict that came with the package; None where the version is none of a bundled skill."""
    found = json.loads(BUNDLED.read_text(encoding="utf-8")).get(pinned.name)
    return Verdict.parse(found["verdict"]) if found and found["digest"] == pinned.digest else None


def _store(pinned: Pinned, answer: Mapping[str, Any]) -> Verdict:
    found = Verdict.parse(answer)
    _keep(pinned, "probe.json", {"verdict": asdict(found)})
    (pinned.folder / "refused.json").unlink(missing_ok=True)
    return found


def _kept(pinned: Pinned, file: str, parse: Callable[[Any], T]) -> T | None:
    """What `file` says of the version; None when there is none that this installation has written."""
    try:
        value = json.loads((pinned.folder / file).read_text(encoding="utf-8"))
        return parse(value) if value["made_by"] == _made_by() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep(pinned: Pinned, file: str, value: Mapping[str, Any]) -> None:
    text = json.dumps({"made_by": _made_by(), **value}, indent=1)
    paths.write_atomically(str(pinned.folder / file), text + "\n")


def _made_by() -> str:
    """What a verdict holds for: this version of Sagaflow with this installation's packages."""
    return f"{__version__} {sys.prefix}"


@contextlib.contextmanager
def _turn(pinned: Pinned) -> Iterator[None]:
    """Hold the version's lock, so that 20 launches at once probe it once."""
    lock = processes.acquire(str(pinned.folder / "probe.lock"), QUEUE_SECONDS)
    if lock is None:
        raise Failure(f"other processes have been probing skill {pinned.name!r} for {QUEUE_SECONDS} s; try again")
    try:
        yield
    finally:
        os.close(lock)


def _inspected(home: Home, pinned: Pinned, arguments: Mapping[str, Any] | None, seconds: int) -> dict[str, Any]:
    """The answer of a child process, or the sentence on how it ended without one."""
    log = pinned.folder / "probe.log"
    # Files without a name, so that neither arguments nor a half-written verdict lie in the home.
    with tempfile.TemporaryFile(dir=pinned.folder) as request, tempfile.TemporaryFile(dir=pinned.folder) as reply:
        request.write(json.dumps(arguments).encode())
        request.seek(0)
        command = _command(home, pinned, seconds, request, reply)
        status = _run(command, (request, reply), log, seconds + START_SECONDS)
        reply.seek(0)
        text = reply.read(VERDICT_LIMIT)
    if status in {None, -signal.SIGALRM}:
        return _problem(f"skill {pinned.name!r} did not finish loading within {seconds} s; what it printed is in {log}")
    try:
        answer: dict[str, Any] = json.loads(text)
    except ValueError:
        how = f"signal {-status}" if status < 0 else f"exit code {status}"
        return _problem(f"skill {pinned.name!r} ended the process that loaded it ({how}); what it printed is in {log}")
    return answer


def _problem(sentence: str) -> dict[str, Any]:
    return {"ok": False, "problem": sentence}


def _command(home: Home, pinned: Pinned, seconds: int, request: IO[bytes], reply: IO[bytes]) -> list[str]:
    # -P: the current folder may be anyone's project, and nothing is imported from there.
    return [
        *(sys.executable, "-P", "-m", "sagaflow_mcp.inspection"),
        *("--home", home.root, "--skill", pinned.name, "--digest", pinned.digest, "--seconds", str(seconds)),
        *("--request", str(request.fileno()), "--verdict", str(reply.fileno())),
    ]


def _run(command: list[str], files: tuple[IO[bytes], ...], log: Path, seconds: int) -> int | None:
    """The exit status of `command`, None when it took too long; whatever it started is gone."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[file.fileno() for file in files],
        env={name: value for name, value in os.environ.items() if not name.startswith(CREDENTIALS)},
        cwd=log.parent,
        start_new_session=True,
    )
    assert child.stdout is not None
    reader = threading.Thread(target=_keep_beginning, args=(child.stdout, log), daemon=True)
    reader.start()
    try:
        return child.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        reader.join(timeout=1)
        if not reader.is_alive():
            child.stdout.close()


def _keep_beginning(pipe: IO[bytes], log: Path) -> None:
    """Copy the first `LOG_LIMIT` bytes of `pipe` to `log` and drop the rest, so that a talkative child never waits."""
    left = LOG_LIMIT
    with contextlib.suppress(OSError, ValueError), log.open("wb") as file:
        while chunk := os.read(pipe.fileno(), LOG_LIMIT):
            file.write(chunk[:left])
            file.flush()
            left -= len(chunk[:left])
