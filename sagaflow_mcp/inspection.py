"""The child process that loads a skill to see whether it can run: `python -m sagaflow_mcp.inspection`.

A skill's code may hang, print, exit or crash, so none of it runs in a process that anyone depends on. The request is
read from one inherited file descriptor and the verdict written to another, since the standard streams are the skill's.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, Any

from sagaflow_mcp import authorship, contract, loader, pinning, skill_check
from sagaflow_mcp.durable import interceptors
from sagaflow_mcp.errors import BrokenSkill, Refusal
from sagaflow_mcp.paths import Home

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagaflow_mcp.pinning import Pinned
    from sagaflow_mcp.registry import SkillSpec


def main(argv: Sequence[str] | None = None) -> None:
    """Inspect one pinned skill and write the verdict."""
    parser = argparse.ArgumentParser(prog="python -m sagaflow_mcp.inspection")
    parser.add_argument("--home", required=True)
    parser.add_argument("--skill", required=True)
    parser.add_argument("--digest", required=True)
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--request", type=int, required=True, help="file descriptor: the arguments as JSON, or null")
    parser.add_argument("--verdict", type=int, required=True, help="file descriptor")
    given = parser.parse_args(argv)
    # Whoever started this may be killed, and code in C may keep every thread from running: then nobody else ends it.
    signal.alarm(given.seconds + 2)
    for descriptor in (given.request, given.verdict):
        os.set_inheritable(descriptor, False)
    with os.fdopen(given.request, encoding="utf-8") as file:
        arguments = json.load(file)
    home = Home(given.home)
    found = in_time(home, pinning.locate(home, given.skill, given.digest), arguments, given.seconds)
    with os.fdopen(given.verdict, "w", encoding="utf-8") as file:
        json.dump(found, file)
    sys.stdout.flush()
    # Not a return: threads and exit handlers that the skill has left behind could hold this process up.
    os._exit(0)


def in_time(home: Home, pinned: Pinned, arguments: dict[str, Any] | None, seconds: float) -> dict[str, Any]:
    """What `inspect_skill` finds, or where the skill was when `seconds` were over."""
    found: dict[str, Any] = {}
    # In a thread, as a worker loads skills: what works in the main thread alone must not pass.
    thread = threading.Thread(target=lambda: found.update(inspect_skill(home, pinned, arguments)), daemon=True)
    thread.start()
    thread.join(seconds)
    if found:
        return dict(found)
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - the documented way to look at a thread
    place = authorship.running(frame) if frame else authorship.Place()
    log = pinned.folder / "probe.log"
    return _broken(
        f"skill {pinned.name!r}{place.aside} did not finish loading within {seconds:g} s; what it printed is in {log}",
        place,
    )


def _broken(sentence: str, place: authorship.Place) -> dict[str, Any]:
    return {"ok": False, "problem": sentence, "file": place.file, "line": place.line}


def inspect_skill(home: Home, pinned: Pinned, arguments: dict[str, Any] | None) -> dict[str, Any]:
    """What is to be known before a launch: `ok` with the skill's needs, or the `problem` in a sentence."""
    try:
        spec = loader.load(pinned)
        loader.rehearse(spec)
        found = _needs(spec)
    except BrokenSkill as error:
        return _broken(str(error), authorship.Place(error.file, error.line))
    except Refusal as error:
        return {"ok": False, "problem": str(error)}
    try:
        if arguments is not None:
            _try_build(home, pinned, spec, arguments)
    except Refusal as error:
        return {**found, "ok": False, "problem": str(error)}
    return found


def _needs(spec: SkillSpec) -> dict[str, Any]:
    timeout = spec.execution_timeout
    return {
        "ok": True,
        "needs_model": not interceptors.MODEL.isdisjoint(skill_check.activity_names(spec)),
        "has_agents": "agent_turn" in skill_check.activity_names(spec),
        "workflow_type": skill_check.workflow_name(spec.workflow_cls),
        "arguments": contract.schema(spec),
        "execution_timeout_seconds": timeout.total_seconds() if timeout else None,
        "allowed_tools": list(spec.allowed_tools),
    }


def _try_build(home: Home, pinned: Pinned, spec: SkillSpec, arguments: dict[str, Any]) -> None:
    """Call `build_input` as a launch would, with a folder that goes away again."""
    with tempfile.TemporaryDirectory(dir=pinned.folder, prefix=".probe-") as folder:
        contract.build(spec, run_id="probe", run_dir=folder, inbox_path=home.inbox_page, arguments=arguments)


if __name__ == "__main__":
    main()
