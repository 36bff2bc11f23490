"""The way to the engine: find it, start it detached, ask it something, stop it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import __version__, control, engine_start, markers, own_temporal, processes
from sagaflow_mcp.errors import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagaflow_mcp.paths import Home

STATUS_SECONDS = 1.0
"""How long the engine may take to answer with its status."""

PATIENT_SECONDS = 6.0
"""How long it may take before it is said to hang: the machine may be busy."""

READY_SECONDS = 35.0
"""How long `ready` may take: longer than the engine's own limit, so that its reason is heard."""

STOP_SECONDS = 25.0
"""How long a stop may take: a grace for each of two children, and some more."""

HUNG_SECONDS = 15.0
"""An engine that has not stopped after so long is killed."""

LOOK_SECONDS = 0.02
"""The pause between two looks at an engine that is starting."""


def status(home: Home, seconds: float = STATUS_SECONDS) -> dict[str, Any] | None:
    """What the engine of `home` says of itself; None when none answers within `seconds`, or it refuses."""
    answer = _ask_status(home, seconds)
    return answer if answer.get("ok") is True else None


def _ask_status(home: Home, seconds: float = STATUS_SECONDS) -> dict[str, Any]:
    """The engine's answer, which may be a refusal; empty when there is none."""
    try:
        return request(home, {"op": "status"}, seconds)
    except (OSError, ValueError):
        return {}


def worker_ready(home: Home) -> bool:
    """Whether an engine runs whose worker takes work."""
    found = status(home)
    return found is not None and found["state"] == "running"


def has_credentials(home: Home) -> bool:
    """Whether a running engine holds model credentials."""
    found = status(home)
    return found is not None and bool(found.get("credentials"))


def request(home: Home, message: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The engine's answer to `message`.

    Raises:
        OSError: no engine listens, it ended before it answered, or it took more than `seconds`.
        ValueError: what came back is not an engine's answer.
    """
    with contextlib.closing(control.Channel(control.connect(home, seconds))) as channel:
        # An engine that takes no more connections says so and hangs up, maybe before it is asked.
        with contextlib.suppress(BrokenPipeError):
            channel.send(message)
        answer = channel.receive()
    if answer is None:
        raise ConnectionResetError("the engine ended before it answered")
    return answer


def ensure(
    home: Home,
    *,
    deadline_seconds: float = 30.0,
    program: Sequence[str] = engine_start.ENGINE,
    environ: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The status of the engine of `home`, which is started if need be; an engine of an older version is replaced.

    Its children may still be starting; `ready` waits for them.

    Raises:
        Failure: there is none within `deadline_seconds`, with the reason.
    """
    deadline = time.monotonic() + deadline_seconds
    place = processes.Place(home.engine, "engine")
    keeper = None
    refusal = ""
    try:
        while time.monotonic() < deadline:
            found = _ask_status(home)
            refusal = str(found.get("error") or "")
            if found.get("ok") is True and found["state"] != "stopping":
                if not _is_older(found["version"]):
                    return found
                stop(home, f"version {__version__} takes over")
            if keeper is not None and engine_start.is_over(keeper, place):
                # Another starter's engine was faster, or ours has stopped again: should none be left, one is started.
                os.close(keeper)
                keeper = None
            if keeper is None and not place.alive():
                keeper = engine_start.start(home, program=program, environ=environ)
            time.sleep(LOOK_SECONDS)
    finally:
        if keeper is not None:
            os.close(keeper)
    if refusal:
        raise Failure(f"the engine refused for {deadline_seconds:g} s: {refusal}")
    words = engine_start.last_words(place)
    raise Failure(f"the engine did not answer within {deadline_seconds:g} s: {words}; see `sagaflow engine logs`")


def wake(home: Home, environ: Mapping[str, str]) -> None:
    """Start an engine where none runs, and do not wait for it. Never raises: nobody asked for an engine here."""
    with contextlib.suppress(Failure, OSError):
        if not processes.Place(home.engine, "engine").alive():
            os.close(engine_start.start(home, environ=environ))


def ready(
    home: Home,
    *,
    skill: str = "",
    digest: str = "",
    run_id: str = "",
    credentials: dict[str, str] | None = None,
    program: Sequence[str] = engine_start.ENGINE,
    environ: Mapping[str, str] | None = None,
) -> str:
    """The address of the embedded Temporal server, empty with the user's own, once a worker takes work.

    It takes that of the version `digest` of `skill` where one is named. The engine is started if need be, and asked
    again when it was just stopping; one that was started with another server than `environ` names is replaced.
    `credentials` are for the run `run_id` and for later ones that bring none.

    Raises:
        Failure: no such worker within `READY_SECONDS`, with the reason; the worker refused the skill, with its
            sentence; or other runs are open on another server.
    """
    message = {"op": "ready", "name": skill, "digest": digest, "run_id": run_id, "credentials": credentials or {}}
    deadline = time.monotonic() + READY_SECONDS
    reason = "it did not answer"
    while (left := deadline - time.monotonic()) > 0:
        found = ensure(home, deadline_seconds=left, program=program, environ=environ)
        if _uses_another_server(found, environ or {}):
            _leave_server(home, str(found.get("temporal")), run_id)
            continue
        try:
            answer = request(home, message, max(deadline - time.monotonic(), LOOK_SECONDS))
        except (OSError, ValueError) as error:
            reason = str(error)  # It ended meanwhile: the next one is asked.
            continue
        if answer.get("ok") is True:
            return str(answer["address"])
        reason = str(answer.get("error"))
        if not answer.get("retry"):
            raise Failure(reason)
        processes.Place(home.engine, "engine").gone(max(deadline - time.monotonic(), 0))
    raise Failure(f"the engine was not ready within {READY_SECONDS:g} s: {reason}; see `sagaflow engine logs`")


def _uses_another_server(status: dict[str, Any], environ: Mapping[str, str]) -> bool:
    wanted = environ.get(own_temporal.VARIABLE)
    return wanted is not None and status.get("temporal") != wanted


def _leave_server(home: Home, server: str, launching: str) -> None:
    """Stop an engine that uses `server`, which `config.toml` no longer names; Failure if open runs need it there.

    The run `launching` does not: its launch waits for this.
    """
    others = [each for each in markers.run_ids(home) - {launching} if markers.is_open(home, each)]
    count = sum(markers.server(home, each, otherwise=server) == server for each in others)
    if count:
        raise Failure(
            f"the engine has {markers.counted(count)} on the Temporal server that it was started with, but "
            f"{home.config!r} names another: that is used once no run is open"
        )
    stop(home, "config.toml names another Temporal server")


def stop(home: Home, reason: str = "asked to") -> bool:
    """Whether anything ran. Afterwards neither the engine nor a child of it does, even if the engine hangs.

    Raises:
        Failure: something of it still runs after `STOP_SECONDS`.
    """
    engine = processes.Place(home.engine, "engine")
    ran = _stop_engine(home, engine, reason)
    for name in ("worker", "server"):
        child = processes.Child.found(processes.Place(home.engine, name))
        if child is not None:
            ran = True
            child.end(processes.GRACE_SECONDS)
    return ran


def _stop_engine(home: Home, engine: processes.Place, reason: str) -> bool:
    ran, began = False, time.monotonic()
    while engine.alive():
        ran = True
        waited = time.monotonic() - began
        if waited > STOP_SECONDS:
            raise Failure(f"the engine {engine.pid()} of {home.root!r} does not stop; end that process")
        if not _takes_stop(home, reason) and waited > HUNG_SECONDS:
            _kill(engine)
        engine.gone(STATUS_SECONDS)
    return ran


def _takes_stop(home: Home, reason: str) -> bool:
    """Whether the engine begins to stop; false when it does not answer, or has too many connections to be asked."""
    try:
        return request(home, {"op": "stop", "reason": reason}, STATUS_SECONDS).get("ok") is True
    except (OSError, ValueError):
        return False


def _kill(engine: processes.Place) -> None:
    """Kill an engine that hangs, after the keeper that would start it again."""
    pid = engine.pid()
    if pid is None:
        return
    listing = subprocess.run(
        ["/bin/ps", "-o", "ppid=", "-p", str(pid)], capture_output=True, encoding="utf-8", check=False
    )
    keeper = engine._replace(name="keeper").recorded_pid()
    # Only if that is its parent still: an engine outlives its keeper, and pids are used again.
    if keeper is not None and listing.stdout.strip() == str(keeper):
        os.kill(keeper, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)


def _is_older(version: str) -> bool:
    return _numbers(version) < _numbers(__version__)


def _numbers(version: str) -> list[int]:
    return [int(part) if part.isdigit() else 0 for part in version.split(".")]
