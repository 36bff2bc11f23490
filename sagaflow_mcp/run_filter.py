"""Which runs a list is to show."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sagaflow_mcp import durations, records
from sagaflow_mcp.errors import UsageRefusal

if TYPE_CHECKING:
    from sagaflow_mcp.run_index import Known
    from sagaflow_mcp.runs import Run

OPEN = ("RUNNING", "PAUSED")
"""The states of a run that has not ended."""

ANY_OPEN = "OPEN"
"""What a user writes for all of them."""

STATES = (*OPEN, *sorted(records.ENDINGS))


@dataclass(frozen=True)
class RunFilter:
    """What a run must be to be shown; each is left out where it is None or empty."""

    states: frozenset[str] = frozenset()
    skill: str = ""
    project: str = ""
    """The folder, with links followed, that it was launched from, or one above that."""
    since: datetime | None = None
    """When it was launched at the earliest."""
    within: dict[str, bool] = field(default_factory=dict, repr=False, compare=False)
    """Which folders belong to the project, as far as that was asked: many runs come from few folders."""

    @classmethod
    def parse(
        cls, status: str | None, skill: str | None, project: str | None, since: str | None, here: str
    ) -> RunFilter:
        """The filter that texts of a user describe; those that are None or empty describe nothing.

        Args:
            status: a state in any case, or `open`.
            skill: a skill's name.
            project: a folder; `.` is `here`, from which relative paths start.
            since: how long ago, such as `2d`.
            here: the folder that the user works in.

        Raises:
            UsageRefusal: one of them is none.
        """
        return cls(
            states=parse_states(status) if status is not None else frozenset(),
            skill=skill or "",
            project=_folder(project, here) if project else "",
            since=datetime.now(UTC) - parse_age(since) if since else None,
        )

    @property
    def is_of_open_runs(self) -> bool:
        """Whether only runs that have not ended pass."""
        return bool(self.states) and self.states <= {*OPEN}

    @property
    def has_none(self) -> bool:
        """Whether every run passes."""
        return self == RunFilter()

    def takes(self, run: Run | Known) -> bool:
        """Whether the run passes."""
        return (
            (not self.states or run.state in self.states)
            and self.skill in {"", run.skill}
            and (not self.project or self._is_within(run.project_dir))
            and (self.since is None or _is_since(run.created_at, self.since))
        )

    def _is_within(self, folder: str) -> bool:
        """Whether a run that was launched from `folder` belongs to the project; one of no folder belongs to none."""
        if folder not in self.within:
            names = [folder, _real(folder)] if folder else []
            self.within[folder] = any(f"{each}/".startswith(f"{self.project}/") for each in names)
        return self.within[folder]


def parse_states(text: str) -> frozenset[str]:
    """The states of runs that `text` names, in any case; UsageRefusal when there are none."""
    name = text.upper()
    if name == ANY_OPEN:
        return frozenset(OPEN)
    if name not in STATES:
        raise UsageRefusal(f"status {records.one_line(text, 40)!r} is not one of {ANY_OPEN}, {', '.join(STATES)}")
    return frozenset({name})


def parse_age(text: str) -> timedelta:
    """The length of time that `text` names, such as `90m`; UsageRefusal when it names none."""
    age = durations.read(text)
    if age is None:
        raise UsageRefusal(
            f"age {records.one_line(text, 40)!r} is not a number and one of s, m, h, d and w, such as 2d"
        )
    return age


def _real(folder: str) -> str:
    """The folder with links followed; itself where it can be none, as in a damaged file."""
    try:
        return os.path.realpath(folder)
    except ValueError:
        return folder


def _folder(project: str, here: str) -> str:
    try:
        path = (Path(here) / Path(project).expanduser()).resolve()
        if path.is_dir():
            return str(path)
    except (OSError, ValueError, RuntimeError):  # It can be no path, or is a circle of links.
        pass
    raise UsageRefusal(f"project {records.one_line(project, 300)!r} is not a folder; give one, such as .")


def _is_since(moment: str, since: datetime) -> bool:
    try:
        return datetime.fromisoformat(moment) >= since
    except (ValueError, TypeError):  # A damaged file.
        return False
