"""The schedules of a home: a folder each, with what it launches, how far it was looked after, and what came of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

from sagaflow_mcp import markers, paths, records

if TYPE_CHECKING:
    from sagaflow_mcp.paths import Home

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
"""What a schedule can be called: a run's id is made of it and of the time that it is due."""

OVERLAPS = ("skip", "buffer", "allow", "cancel")
"""What happens while the run before is open: nothing is launched; one waits for it; both go on; it is cancelled."""

KINDS = {
    **dict.fromkeys(("skill", "cron", "timezone", "overlap", "project_dir", "skills_path", "created_at"), str),
    "arguments": dict,
    "catch_up_seconds": int,
    "allow": list,
    "paused": bool,
}
"""What the fields of a schedule are, by which one is told that was damaged or edited by hand."""

DEFINITION, STATE, DUE = "schedule.json", "state.json", "due"

WAIT = "wait"
"""What came of what is due while an earlier run is open that it waits for."""

REMOVED = "~"
"""How the name of the folder of a schedule ends that is none any more."""


class Schedule(NamedTuple):
    """What is launched when."""

    name: str
    skill: str
    arguments: dict[str, Any]
    cron: str
    timezone: str
    catch_up_seconds: int
    """How late a run may be launched; what was due before is missed."""
    overlap: str
    """One of `OVERLAPS`."""
    project_dir: str
    allow: list[str]
    skills_path: str
    """The folders of skills of whoever made it, as `SAGAFLOW_SKILLS_PATH` names them."""
    created_at: str
    paused: bool = False
    bundled: bool = False
    """Whether it is the bundled skill, whatever the user has under its name."""


def listing(home: Home) -> list[Schedule]:
    """The schedules of `home`, by name; one whose file is damaged is left out."""
    found = [find(home, name) for name in sorted(_names(home)) if NAME.fullmatch(name)]
    return [each for each in found if each is not None]


def find(home: Home, name: str) -> Schedule | None:
    """The schedule `name`; None when there is none or its file is damaged."""
    value = _read(_definition(home, name))
    try:
        found = Schedule(**value)._replace(name=name) if value else None
    except TypeError:
        return None
    is_whole = found is not None and all(isinstance(getattr(found, field), kind) for field, kind in KINDS.items())
    return found if is_whole else None


def damaged(home: Home) -> list[str]:
    """The names of the schedules whose file cannot be read, in order: they launch nothing."""
    names = sorted(name for name in _names(home) if NAME.fullmatch(name) and find(home, name) is None)
    return [name for name in names if os.path.lexists(_definition(home, name))]


def add(home: Home, schedule: Schedule) -> bool:
    """Whether `schedule` is now on disk, whole, by this call; false where there is one of its name.

    Raises:
        OSError: it cannot be written, as where it is removed at the same time.
    """
    os.makedirs(os.path.join(home.schedule(schedule.name), DUE), mode=0o700, exist_ok=True)
    return paths.write_first(_definition(home, schedule.name), _text(schedule))


def change(home: Home, schedule: Schedule) -> None:
    """Have `schedule` on disk in place of what it was; OSError if it cannot be written, as when it was removed."""
    paths.write_atomically(_definition(home, schedule.name), _text(schedule))


def remove(home: Home, name: str) -> None:
    """Take the schedule `name` away; nothing happens when there is none. OSError if it cannot be removed."""
    with contextlib.suppress(FileNotFoundError):
        # Away at once and whole: a worker that writes down what came of it has nowhere left to write to.
        os.rename(home.schedule(name), f"{home.schedule(name)}.{os.getpid()}.{os.urandom(4).hex()}{REMOVED}")
    # With what another removal has left that was killed. Twice: what was just being written there comes after a look.
    for each in 2 * _names(home):
        if each.endswith(REMOVED):
            shutil.rmtree(home.schedule(each), ignore_errors=True)


def is_active(home: Home) -> bool:
    """Whether a schedule is to launch something, for which an engine must be up."""
    return any(not each.paused for each in listing(home))


def needs_engine(home: Home) -> bool:
    """Whether an engine must be up: for an open run or a schedule. FileNotFoundError when there is no home."""
    return bool(markers.run_ids(home)) or is_active(home)


def state(home: Home, name: str) -> dict[str, Any]:
    """How far the schedule was looked after; empty before that."""
    return _read(os.path.join(home.schedule(name), STATE)) or {}


def keep_state(home: Home, name: str, value: dict[str, Any]) -> None:
    """Have `value` as the state of the schedule `name`; OSError if it cannot be written, as when it was removed."""
    paths.write_atomically(os.path.join(home.schedule(name), STATE), json.dumps(value) + "\n")


def stamps(home: Home, name: str) -> list[str]:
    """The times at which something was due, as far as they are still kept, each as in the id of its run."""
    try:
        return sorted(each for each in os.listdir(os.path.join(home.schedule(name), DUE)) if not each.endswith("~"))
    except FileNotFoundError:
        return []


def waits(home: Home, name: str, stamp: str) -> bool:
    """Whether what was due at `stamp` waits for the end of another run."""
    return (record(home, name, stamp) or {}).get("outcome") == WAIT


def record(home: Home, name: str, stamp: str) -> dict[str, Any] | None:
    """What came of what was due at `stamp`; None while nothing did."""
    return _read(os.path.join(home.schedule(name), DUE, stamp))


def keep_record(home: Home, name: str, stamp: str, outcome: str, run_id: str = "") -> None:
    """Have on disk what came of what was due at `stamp`. OSError if it cannot be written."""
    path = os.path.join(home.schedule(name), DUE, stamp)
    paths.write_atomically(path, json.dumps({"outcome": outcome, "run_id": run_id, "at": records.now()}) + "\n")


def drop_record(home: Home, name: str, stamp: str) -> None:
    """Forget what came of it."""
    os.unlink(os.path.join(home.schedule(name), DUE, stamp))


def open_runs(home: Home, name: str) -> list[str]:
    """The open runs that the schedule `name` has launched, oldest first."""
    made = re.compile(re.escape(name) + r"-[0-9]{8}-[0-9]{6}")
    found = filter(made.fullmatch, markers.run_ids(home))
    return sorted(run_id for run_id in found if markers.is_open(home, run_id))


def due_run_id(name: str, stamp: str) -> str:
    """The id of the run that the schedule `name` launches for what is due at `stamp`."""
    return f"{name}-{stamp}"


def _definition(home: Home, name: str) -> str:
    return os.path.join(home.schedule(name), DEFINITION)


def _text(schedule: Schedule) -> str:
    return json.dumps(schedule._asdict(), indent=1) + "\n"


def _names(home: Home) -> list[str]:
    try:
        return os.listdir(home.schedules)
    except FileNotFoundError:
        return []


def _read(path: str) -> dict[str, Any] | None:
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
